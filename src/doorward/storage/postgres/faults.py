"""Tuples of exceptions to catch: those of asyncpg, and those of connections to PostgreSQL."""

import asyncpg

DRIVER_ERRORS = (asyncpg.InterfaceError, asyncpg.PostgresError, asyncpg.InternalClientError)
"""Exceptions of asyncpg for servers and statements."""

FAULTS = (OSError, *DRIVER_ERRORS)
"""Exceptions of asyncpg and of the network."""
