"""Login of tenants and users."""
