"""Password hashing: bounded pools, formats of other systems, policies, reauthentication."""
