"""`doorward doctor`: what an operator should know before users find out."""

import asyncio
import os
import pwd
import resource
import shutil
import stat
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from time import perf_counter

import click

from doorward.cli import certificates
from doorward.cli.desk import PROBLEM, as_json, example, read_settings, show
from doorward.cli.finding import Finding
from doorward.core.clock import system_clock
from doorward.core.errors import CannotStart, Refusal
from doorward.core.operations import NameSurvey, survey_names
from doorward.core.passwords import Argon2Parameters, Hasher
from doorward.machine import SPARE_FILES, cores
from doorward.settings import Settings
from doorward.storage.database import Server
from doorward.stores import choose, migrate, servers

_SLOW_STORE = 20.0
_CLOCK_SKEW = 2_000
_SLOW_HASH = 500.0
_LITTLE_SPACE = 1 << 30
_NO_SPACE = 64 << 20
_OTHERS = 0o077
_TRIES = 3
_MOST_NAMES = 50_000
_NAMES_SHOWN = 5
_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command(epilog=example("doorward doctor\ndoorward doctor --json | jq -r 'select(.state != \"ok\")'"))
@as_json
def doctor(*, as_json: bool) -> None:
    """Look at settings, stores, clocks, certificates, files and the machine; exit with 3 where something fails."""
    findings = list(_examine())
    if as_json:
        show((finding._asdict() for finding in findings), as_json=True)
    else:
        for name, state, said, todo in findings:
            mark = click.style(state.ljust(4), fg=_COLOURS[state])
            click.echo(f"{mark}  {name.ljust(12)}  {said}{' ' + todo if todo else ''}")
    if any(finding.state == "fail" for finding in findings):
        sys.exit(PROBLEM)


def _examine() -> Iterator[Finding]:
    try:
        settings = read_settings()
    except CannotStart as reason:
        yield Finding("settings", "fail", str(reason), "Nothing else was looked at.")
        return
    yield Finding("settings", "ok", "They make sense.")
    for warning in settings.warnings:
        yield Finding("settings", "warn", warning)
    try:
        keys = settings.with_master_key()
    except CannotStart as reason:
        yield Finding("master key", "fail", str(reason))
    else:
        yield Finding("master key", "ok", f"{len(keys)}, number {keys[0][0]} signs.")
    try:
        version = migrate(settings)
    except CannotStart as reason:
        yield Finding("stores", "fail", str(reason), "The stores were not looked at further.")
    else:
        yield Finding("schema", "ok", f"Version {version} in {settings.database_place}.")
        yield from asyncio.run(_stores(settings))
    yield from certificates.examine(settings, system_clock())
    yield from _disks(settings)
    if not settings.on_postgresql:
        yield _files(settings.database_path)
    yield _hashing(settings)
    yield from _limits(settings)


async def _stores(settings: Settings) -> list[Finding]:
    stores = choose(settings)
    try:
        await stores.open()
        try:
            took = {name: await _quickest(check) for name, check in stores.checks.items()}
            names = await survey_names(stores.accounts, most=_MOST_NAMES, examples=_NAMES_SHOWN)
        finally:
            await stores.close()
        about = await servers(settings)
    except CannotStart as reason:
        return [Finding("stores", "fail", str(reason))]
    except Refusal:
        todo = "Look at the servers, and at the network in between."
        return [Finding("stores", "fail", "One of them was there and answers no more.", todo)]
    return [
        *(finding for name in took for finding in _store(settings, name, took[name], about[name])),
        _names(names),
    ]


async def _quickest(check: Callable[[], Awaitable[object]]) -> float:
    """Return how many milliseconds a check takes; the quickest of some, since the first one opens connections."""
    times = []
    for _ in range(_TRIES):
        begin = perf_counter()
        await check()
        times.append((perf_counter() - begin) * 1000)
    return min(times)


def _store(settings: Settings, name: str, took: float, server: Server) -> Iterator[Finding]:
    todo = "Every verification waits that long: bring it nearer." if took > _SLOW_STORE else ""
    yield Finding(name, "warn" if todo else "ok", f"{server.product} answers in {took:.2f} ms.", todo)
    if server.evicts:
        said = "It ends sessions when its memory is full."
        yield Finding(name, "warn", said, "Set its maxmemory-policy to noeviction.")
    wanted = settings.workers * settings.database_pool
    if name == "database" and server.connections is not None and wanted > server.connections:
        said = f"This instance alone may want {wanted} connections, the server takes {server.connections}."
        yield Finding(name, "warn", said, "Lower DATABASE_POOL or WORKERS, or raise its max_connections.")
    if server.clock is not None:
        skew = abs(server.clock - system_clock())
        todo = "Let both follow a time server (NTP)." if skew > _CLOCK_SKEW else ""
        yield Finding("clock", "fail" if todo else "ok", f"{skew} ms from the clock of {server.product}.", todo)


def _names(found: NameSurvey) -> Finding:
    examined = f"{found.examined} names" if found.complete else f"the first {found.examined} names"
    if not found.refused:
        return Finding("names", "ok", f"None of {examined} would be refused as a new one.")
    # Escaped, since what is wrong with them is that they cannot be seen.
    shown = [ascii(email) if login is None else f"{login!a} of {email!a}" for email, login in found.examples]
    others = found.refused - len(shown)
    more = f" and {others} more" if others else ""
    said = f"{found.refused} of {examined} would be refused as new ones: {', '.join(shown)}{more}."
    return Finding("names", "warn", said, "They still work; give them other names.")


def _disks(settings: Settings) -> Iterator[Finding]:
    folders = [Path(settings.data_dir)]
    if not settings.on_postgresql:
        folders.append(settings.database_path.parent)
    for folder in dict.fromkeys(folders):
        if not folder.is_dir():
            continue
        free = shutil.disk_usage(folder).free
        state = "fail" if free < _NO_SPACE else "warn" if free < _LITTLE_SPACE else "ok"
        todo = "" if state == "ok" else "Make room: a full disk refuses every write."
        yield Finding("disk", state, f"{free >> 20} MiB free in {folder}.", todo)


def _files(database: Path) -> Finding:
    files = [path for path in (database, *(Path(f"{database}-{end}") for end in ("wal", "shm"))) if path.exists()]
    for path in (database.parent, *files):
        if path.exists() and not os.access(path, os.R_OK | os.W_OK, effective_ids=True):
            user = pwd.getpwuid(os.geteuid()).pw_name
            return Finding(
                "files", "fail", f"{user} cannot write {path}.", f"If it serves as {user}: chown {user} {path}."
            )
    shut = not _mode(database.parent) & _OTHERS
    if not shut and any(_mode(path) & _OTHERS for path in files):
        return Finding("files", "warn", "Others can read the database.", f"chmod 700 {database.parent}.")
    return Finding("files", "ok", "The database is its owner's only.")


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode) if path.exists() else 0


def _hashing(settings: Settings) -> Finding:
    hasher = Hasher(Argon2Parameters(settings.hash_memory, settings.hash_passes, settings.hash_lanes))
    begin = perf_counter()
    hasher.hash("a password to measure with")
    took = (perf_counter() - begin) * 1000
    todo = "Lower HASH_MEMORY or HASH_PASSES, or have a faster machine." if took > _SLOW_HASH else ""
    return Finding("hashing", "warn" if todo else "ok", f"{took:.0f} ms a password on this machine.", todo)


def _limits(settings: Settings) -> Iterator[Finding]:
    many = settings.workers > cores()
    todo = "Set WORKERS to the cores at most." if many else ""
    yield Finding("workers", "warn" if many else "ok", f"{settings.workers} on {cores()} cores.", todo)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    wanted = settings.max_connections + SPARE_FILES
    few = hard != resource.RLIM_INFINITY and hard < wanted
    todo = f"MAX_CONNECTIONS needs {wanted}: raise the limit, or lower the setting." if few else ""
    yield Finding("open files", "warn" if few else "ok", f"The limit is {hard}.", todo)
