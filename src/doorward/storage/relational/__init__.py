"""Relational stores: SQL statements and rows, shared by SQLite and PostgreSQL."""
