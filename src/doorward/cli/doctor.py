"""`doorward doctor`: checks settings, stores, certificates, files and resources of an installation."""

import asyncio
import os
import pwd
import resource
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

import click

from doorward.cli import certificates
from doorward.cli.context import PROBLEM_FOUND, as_json, example, print_rows, read_settings
from doorward.cli.finding import Finding
from doorward.core.clock import system_clock
from doorward.core.errors import CannotStart, Refusal
from doorward.core.passwords.hashing import Argon2Parameters, Hasher
from doorward.core.tenants.survey import NameSurvey, survey_names
from doorward.runtime.cpu import SPARE_FILES, available_cores
from doorward.settings import Settings
from doorward.storage.relational.database import ServerInfo
from doorward.stores import open_to_others, read_only_database, schema_of, servers

_SLOW_STORE = 20.0
_CLOCK_SKEW = 2_000
_SLOW_HASH = 500.0
_LOW_SPACE = 1 << 30
_NO_SPACE = 64 << 20
_MAX_NAMES = 50_000
_NAMES_SHOWN = 5
_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command(epilog=example("doorward doctor\ndoorward doctor --json | jq -r 'select(.state != \"ok\")'"))
@as_json
def doctor(*, as_json: bool) -> None:
    """Check settings, stores, clocks, certificates, files and the machine. Exit code 3: a check failed."""
    findings = list(_check_all())
    if as_json:
        print_rows((finding._asdict() for finding in findings), as_json=True)
    else:
        for name, state, said, todo in findings:
            mark = click.style(state.ljust(4), fg=_COLOURS[state])
            click.echo(f"{mark}  {name.ljust(12)}  {said}{' ' + todo if todo else ''}")
    if any(finding.state == "fail" for finding in findings):
        sys.exit(PROBLEM_FOUND)


def _check_all() -> Iterator[Finding]:
    try:
        settings = read_settings()
    except CannotStart as reason:
        yield Finding("settings", "fail", str(reason), "Nothing else was checked.")
        return
    yield Finding("settings", "ok", "Valid.")
    for warning in settings.warnings:
        yield Finding("settings", "warn", warning)
    try:
        keys = settings.with_master_key(create=False)
    except CannotStart as reason:
        yield Finding("master key", "fail", str(reason))
    else:
        yield Finding("master key", "ok", f"{len(keys)}, number {keys[0][0]} signs.")
    yield from _stores(settings)
    yield from certificates.check_certificates(settings, system_clock())
    yield from _disks(settings)
    if not settings.on_postgresql and (finding := _files(settings)):
        yield finding
    yield _hashing(settings)
    yield from _limits(settings)


def _stores(settings: Settings) -> Iterator[Finding]:
    """Check the stores without changing them."""
    try:
        version, newest = schema_of(settings)
        infos = asyncio.run(servers(settings))
    except CannotStart as reason:
        yield Finding("stores", "fail", str(reason), "The stores were not checked further.")
        return
    said = f"Version {version} in {settings.database_place}."
    if version > newest:
        yield Finding("schema", "fail", said, f"This program supports versions up to {newest}: install a newer one.")
    else:
        todo = f"The next start migrates it to version {newest}: make a backup first." if version < newest else ""
        yield Finding("schema", "warn" if todo else "ok", said, todo)
    for name, server in infos.items():
        yield from _store(settings, name, server)
    if version == newest:
        yield _names_of(settings)


def _store(settings: Settings, name: str, server: ServerInfo) -> Iterator[Finding]:
    todo = (
        "Every verification waits that long: move the store closer to the service." if server.took > _SLOW_STORE else ""
    )
    yield Finding(name, "warn" if todo else "ok", f"{server.product} responds in {server.took:.2f} ms.", todo)
    if server.evicts:
        said = "It evicts sessions when its memory is full."
        yield Finding(name, "warn", said, "Set its maxmemory-policy to noeviction.")
    if server.is_predecessors:
        said = "It has keys of backend-auth and none of this service."
        yield Finding(name, "warn", said, "Name another server or database in REDIS_URL.")
    wanted = settings.workers * settings.database_pool
    if name == "database" and server.connections is not None and wanted > server.connections:
        said = f"This instance alone may open {wanted} connections; the server accepts {server.connections}."
        yield Finding(name, "warn", said, "Lower DATABASE_POOL or WORKERS, or raise its max_connections.")
    if server.clock is not None:
        skew = abs(server.clock - system_clock())
        todo = "Synchronize both machines with a time server (NTP)." if skew > _CLOCK_SKEW else ""
        yield Finding("clock", "fail" if todo else "ok", f"{skew} ms from the clock of {server.product}.", todo)


def _names_of(settings: Settings) -> Finding:
    async def survey() -> NameSurvey:
        async with read_only_database(settings) as accounts:
            return await survey_names(accounts, most=_MAX_NAMES, examples=_NAMES_SHOWN)

    try:
        return _names(asyncio.run(survey()))
    except (CannotStart, Refusal):
        return Finding("names", "fail", "The database stopped responding.", "Check the database and the network.")


def _names(survey: NameSurvey) -> Finding:
    examined = f"{survey.examined} names" if survey.complete else f"the first {survey.examined} names"
    if not survey.refused:
        return Finding("names", "ok", f"None of {examined} would be rejected as a new name.")
    # Escaped, since invalid names may have invisible characters.
    shown = [ascii(email) if login is None else f"{login!a} of {email!a}" for email, login in survey.examples]
    others = survey.refused - len(shown)
    more = f" and {others} more" if others else ""
    said = f"{survey.refused} of {examined} would be rejected as new names: {', '.join(shown)}{more}."
    return Finding("names", "warn", said, "They still work; rename them.")


def _disks(settings: Settings) -> Iterator[Finding]:
    folders = [Path(settings.data_dir)]
    if not settings.on_postgresql:
        folders.append(settings.database_path.parent)
    for folder in dict.fromkeys(folders):
        if not folder.is_dir():
            continue
        free = shutil.disk_usage(folder).free
        state = "fail" if free < _NO_SPACE else "warn" if free < _LOW_SPACE else "ok"
        todo = "" if state == "ok" else "Free some space: every write fails on a full disk."
        yield Finding("disk", state, f"{free >> 20} MiB free in {folder}.", todo)


def _files(settings: Settings) -> Finding | None:
    """Check the database's files and their folder; None if there are no files yet and they can be created."""
    database = settings.database_path
    folder = _nearest_existing(database.parent)
    if not folder.is_dir():
        return Finding("files", "fail", f"{folder} is not a folder.", "Set another path in DATA_DIR or DATABASE_URL.")
    for path in (folder, database, *(Path(f"{database}-{end}") for end in ("wal", "shm"))):
        if path.exists() and not os.access(path, os.R_OK | os.W_OK, effective_ids=True):
            user = pwd.getpwuid(os.geteuid()).pw_name
            if os.statvfs(path).f_flag & os.ST_RDONLY:
                return Finding(
                    "files", "fail", f"{path} cannot be written: it is mounted read-only.", "Mount it writable."
                )
            return Finding(
                "files", "fail", f"{user} cannot write {path}.", f"If the service runs as {user}: chown {user} {path}."
            )
    if not database.exists():
        return None
    if open_to_others(settings):
        return Finding("files", "warn", "Other users can read the database.", f"chmod 700 {database.parent}.")
    return Finding("files", "ok", "Only the owner can read the database.")


def _nearest_existing(path: Path) -> Path:
    """Return the path, or its nearest existing parent."""
    while not os.path.lexists(path) and path != path.parent:
        path = path.parent
    return path


def _hashing(settings: Settings) -> Finding:
    hasher = Hasher(Argon2Parameters(settings.hash_memory, settings.hash_passes, settings.hash_lanes))
    begin = perf_counter()
    hasher.hash("a password to measure with")
    took = (perf_counter() - begin) * 1000
    todo = "Lower HASH_MEMORY or HASH_PASSES, or use a faster machine." if took > _SLOW_HASH else ""
    return Finding("hashing", "warn" if todo else "ok", f"{took:.0f} ms per password on this machine.", todo)


def _limits(settings: Settings) -> Iterator[Finding]:
    many = settings.workers > available_cores()
    todo = "Lower WORKERS to the number of cores." if many else ""
    yield Finding("workers", "warn" if many else "ok", f"{settings.workers} on {available_cores()} cores.", todo)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    wanted = settings.max_connections + SPARE_FILES
    few = hard != resource.RLIM_INFINITY and hard < wanted
    todo = f"MAX_CONNECTIONS needs {wanted}: raise the limit, or lower the setting." if few else ""
    yield Finding("open files", "warn" if few else "ok", f"The limit is {hard}.", todo)
