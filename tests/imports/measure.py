"""How long an import takes: `PYTHONPATH=tests python -m imports.measure [users [sessions of each]]`.

Fills a Redis of its own as the predecessor would, imports it into an empty embedded database (or that of DATABASE_URL),
runs once more, and catches up.
"""

import json
import os
import re
import sys
import tempfile
import time
from pathlib import Path
from uuid import uuid4

from harness import read_settings
from imports.import_run import bring_in
from legacy_server import COMPAT, Predecessor, redis_server

_TENANTS = 20
_BATCH = 1_000
_NOW = 1_700_000_000_000
_HASH = "$2a$10$BiO39ybNjFS1P5m7fL9/ZuWw5pgADUVO3Yw21rWAdeHXxCKqxb/o6"


def fill(predecessor: Predecessor, users: int, sessions: int) -> None:
    """Keep so many users, and sessions of each."""
    tenants = [str(uuid4()) for _ in range(_TENANTS)]
    for number, tenant in enumerate(tenants):
        email = f"tenant-{number}@example.org"
        predecessor.keep(f"auth_tenant:{email}", {"id": tenant, "passwordHash": _HASH, "email": email})
    for start in range(0, users, _BATCH):
        pipeline = predecessor.redis.pipeline(transaction=False)
        for number in range(start, min(users, start + _BATCH)):
            identity, tenant, login = str(uuid4()), tenants[number % _TENANTS], f"user-{number}"
            row = {
                "id": identity,
                "login": login,
                "password": _HASH,
                "email": f"{login}@example.org",
                "tenant": tenant,
                "registrationDate": _NOW,
                "lastActivity": _NOW,
                "scope": {"company": ["read", "update"]},
                "sub": login,
            }
            pipeline.set(f"auth_{tenant}:{login}", json.dumps(row))
            for device in range(sessions):
                pipeline.set(f"auth_{identity}device-{device}{_NOW + device}", str(uuid4()), ex=604_800)
        pipeline.execute()


def main() -> None:
    """Fill, import, and say how long it took."""
    given = [int(word) for word in sys.argv[1:]]
    users, sessions = (*given, *(100_000, 2)[len(given) :])
    url = os.environ.get("DATABASE_URL", "")
    with redis_server() as predecessor, tempfile.TemporaryDirectory() as folder:
        fill(predecessor, users, sessions)
        settings = read_settings(Path(folder), {**COMPAT, "DATABASE_URL": url})
        for name, catch_up in (("import", False), ("again", False), ("catch up", True)):
            started, spent = time.monotonic(), time.process_time()
            report = bring_in(settings, predecessor, catch_up=catch_up)
            # Without the pages of the database's file, which the system may take back at any time.
            kib = re.search(r"RssAnon:\s*(\d+)", Path("/proc/self/status").read_text())
            held = int(kib[1]) // 1024 if kib else 0
            took, worked = time.monotonic() - started, time.process_time() - spent
            print(f"{name:>10} {took:6.1f} s, {worked:.1f} s of CPU, {held} MiB: {dict(report.counts)}")  # noqa: T201


if __name__ == "__main__":
    main()
