"""Stores on a relational database: rows to values and back, one SQL text for SQLite and PostgreSQL."""
