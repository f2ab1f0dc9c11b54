"""Store adapters: SQLite, PostgreSQL and Redis implementations of the ports in `core/ports`."""
