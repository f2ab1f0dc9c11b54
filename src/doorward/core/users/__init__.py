"""Users of a tenant: create, list, search, update, delete, import, export, passwords."""
