"""What goes wrong with a PostgreSQL server."""

import asyncpg

SAID = (asyncpg.InterfaceError, asyncpg.PostgresError, asyncpg.InternalClientError)
"""What asyncpg raises when a server or a statement fails."""

FAULTS = (OSError, *SAID)
"""The same, and what it raises when a network fails."""
