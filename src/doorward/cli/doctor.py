"""`doorward doctor`: what an operator should know before users find out."""

import asyncio
import os
import resource
import shutil
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import click

from doorward.cli.desk import PROBLEM, as_json, example, explained, read_settings, show
from doorward.core.clock import system_clock
from doorward.core.errors import CannotStart, Refusal
from doorward.core.passwords import Argon2Parameters, Hasher
from doorward.settings import Settings
from doorward.storage.tables import server_clock
from doorward.stores import choose, migrate, place_of

_SLOW_STORE = 20.0
_CLOCK_SKEW = 2_000
_SLOW_HASH = 500.0
_LITTLE_SPACE = 1 << 30
_NO_SPACE = 64 << 20
_OTHERS = 0o077
_SPARE_FILES = 256
_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


class Finding(NamedTuple):
    """What was looked at, how it is, and what to do about it."""

    name: str
    state: str
    said: str
    todo: str = ""


@click.command(epilog=example("doorward doctor\ndoorward doctor --json | jq -r 'select(.state != \"ok\")'"))
@as_json
def doctor(*, as_json: bool) -> None:
    """Look at settings, stores, clocks, files and the machine; exit with 3 where something fails."""
    settings = explained(read_settings)
    findings = list(_examine(settings))
    if as_json:
        show((finding._asdict() for finding in findings), as_json=True)
    else:
        for name, state, said, todo in findings:
            mark = click.style(state.ljust(4), fg=_COLOURS[state])
            click.echo(f"{mark}  {name.ljust(12)}  {said}{' ' + todo if todo else ''}")
    if any(finding.state == "fail" for finding in findings):
        sys.exit(PROBLEM)


def _examine(settings: Settings) -> Iterator[Finding]:
    try:
        keys = settings.with_master_key()
    except CannotStart as reason:
        yield Finding("master key", "fail", str(reason))
    else:
        yield Finding("master key", "ok", f"{len(keys)}, number {keys[0][0]} signs.")
    try:
        version = migrate(settings)
    except CannotStart as reason:
        yield Finding("stores", "fail", str(reason))
    else:
        yield Finding("schema", "ok", f"Version {version} in {settings.database_place}.")
        yield from asyncio.run(_stores(settings))
    yield from _files(settings)
    yield _hashing(settings)
    cores = len(os.sched_getaffinity(0))
    many = settings.workers > cores
    said = f"{settings.workers} on {cores} cores."
    yield Finding("workers", "warn" if many else "ok", said, "Set WORKERS to the cores at most." if many else "")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    wanted = settings.max_connections + _SPARE_FILES
    few = hard != resource.RLIM_INFINITY and hard < wanted
    todo = f"MAX_CONNECTIONS needs {wanted}: raise the limit, or lower the setting." if few else ""
    yield Finding("open files", "warn" if few else "ok", f"The limit is {hard}.", todo)


async def _stores(settings: Settings) -> list[Finding]:
    found: list[Finding] = []
    stores = choose(settings)
    try:
        await stores.open()
    except CannotStart as reason:
        return [Finding("stores", "fail", str(reason))]
    try:
        for name, check in stores.checks.items():
            begin = perf_counter()
            try:
                await check()
            except Refusal:
                found.append(Finding(name, "fail", "It does not answer.", "Look at the server and the network."))
                continue
            took = (perf_counter() - begin) * 1000
            todo = "Every verification waits that long: bring it nearer." if took > _SLOW_STORE else ""
            found.append(Finding(name, "warn" if todo else "ok", f"Answers in {took:.2f} ms.", todo))
    finally:
        await stores.close()
    theirs = await server_clock(place_of(settings))
    if theirs is not None:
        skew = abs(theirs - system_clock())
        todo = "Let both follow a time server." if skew > _CLOCK_SKEW else ""
        found.append(Finding("clock", "fail" if todo else "ok", f"{skew} ms from the database's.", todo))
    return found


def _files(settings: Settings) -> Iterator[Finding]:
    folder = Path(settings.data_dir)
    if not folder.is_dir():
        return
    free = shutil.disk_usage(folder).free
    state = "fail" if free < _NO_SPACE else "warn" if free < _LITTLE_SPACE else "ok"
    todo = "" if state == "ok" else "Make room: a full disk refuses every write."
    yield Finding("disk", state, f"{free >> 20} MiB free in {folder}.", todo)
    if settings.on_postgresql:
        return
    mode = stat.S_IMODE(settings.database_path.stat().st_mode) if settings.database_path.exists() else 0
    open_to_others = mode & _OTHERS and stat.S_IMODE(settings.database_path.parent.stat().st_mode) & _OTHERS
    todo = f"chmod 700 {settings.database_path.parent}." if open_to_others else ""
    said = "Others can read the database." if open_to_others else "The database is its owner's only."
    yield Finding("files", "warn" if open_to_others else "ok", said, todo)


def _hashing(settings: Settings) -> Finding:
    hasher = Hasher(Argon2Parameters(settings.hash_memory, settings.hash_passes, settings.hash_lanes))
    begin = perf_counter()
    hasher.hash("a password to measure with")
    took = (perf_counter() - begin) * 1000
    todo = "Lower HASH_MEMORY or HASH_PASSES, or have a faster machine." if took > _SLOW_HASH else ""
    return Finding("hashing", "warn" if todo else "ok", f"{took:.0f} ms a password on this machine.", todo)
