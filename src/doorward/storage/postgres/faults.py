"""What goes wrong with a PostgreSQL server."""

import asyncpg

FAULTS = (OSError, asyncpg.InterfaceError, asyncpg.PostgresError, asyncpg.InternalClientError)
"""What asyncpg raises when a server, a network or a statement fails."""
