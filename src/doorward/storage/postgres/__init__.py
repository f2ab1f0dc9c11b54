"""PostgreSQL: addresses, schema and start checks, connection pool, statements with deadlines."""
