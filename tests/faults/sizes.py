"""How much of everything: the short form for every day, the long one with DOORWARD_TORTURE=1."""

import os

TORTURE = os.environ.get("DOORWARD_TORTURE") == "1"

TEST_SECONDS = 3600 if TORTURE else 300
"""After how long a test counts as hanging."""

CRASHES = 500 if TORTURE else 5
CRASHES_WITH_POSTGRESQL = 500 if TORTURE else 3
CRASHES_WITH_REDIS = 150 if TORTURE else 3
"""Where servers of stores are killed as well: one of each kind of cut, at the least."""
CRASH_CLIENTS = 16

REVOCATIONS = 2000 if TORTURE else 60
REVOCATION_WORKERS = 4
REVOCATION_CLIENTS = 8
"""Clients per worker that ask about one token."""

REGISTRATION_RACES = 20 if TORTURE else 2
DELETIONS = 1000 if TORTURE else 200
CAP_RACES = 20 if TORTURE else 2
PARALLEL_LOGINS = 200 if TORTURE else 40
PARALLEL_GUESSES = 200

STARTERS = 8
STARTS = 20 if TORTURE else 1
DEATH_STRIDE = 1 if TORTURE else 3
"""Every how many statements a migration of PostgreSQL dies; each step has twice as many and more."""
DEATHS_OF_SERVERS = 1000 if TORTURE else 5
"""In how many places of a migration the database's server is killed; in all of them, where there are fewer."""
NEIGHBOUR_SECONDS = 60 if TORTURE else 3
"""How long two versions serve together."""
STOPS = 20 if TORTURE else 1
WORKER_DEATHS = 20 if TORTURE else 1

FLOOD_SECONDS = 60 if TORTURE else 5
FLOOD_CLIENTS = 200
COSTLY_LOGINS = 60 if TORTURE else 8
"""Logins of a tenant beside another one whose hashes are costly."""
HALF_BODIES = 1000
SLOW_CLIENTS = 500 if TORTURE else 200
VERIFIES = 10_000
