"""A PostgreSQL as a database."""
