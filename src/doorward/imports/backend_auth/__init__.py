"""Import of tenants, users and sessions from the predecessor's Redis."""
