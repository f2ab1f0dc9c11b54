"""`doorward key`: rotates the master keys while the service runs and its tokens stay valid."""

import asyncio
from collections.abc import Callable
from time import monotonic, sleep

import click

from doorward.cli.context import (
    CommandContext,
    as_json,
    confirm,
    example,
    exit_on_error,
    exit_with_error,
    format_time,
    print_done,
    print_rows,
    read_settings,
    run_with_context,
    yes,
)
from doorward.core.audit.operator_events import (
    key_activated_event,
    key_added_event,
    key_retired_event,
    signing_stopped_at,
)
from doorward.core.clock import system_clock
from doorward.core.errors import CannotStart, Refusal
from doorward.core.model import Event
from doorward.core.tenants.survey import longest_session_lifetime
from doorward.operations.master_keys import (
    KeyFile,
    fingerprint,
    key_id,
    live_registrations,
    with_key_activated,
    with_key_added,
    with_key_retired,
)
from doorward.settings import Settings
from doorward.settings.keys import Keys, new_key
from doorward.stores import migrate, read_only_database, schema_of

_MAX_WAIT = 10.0
_POLL = 0.05


@click.group("key", epilog=example("doorward key rotate"))
def key() -> None:
    """Rotate the service's master keys. For tenants' API keys see `doorward apikey`."""


@key.command("list", epilog=example("doorward key list --json"))
@as_json
def list_keys(*, as_json: bool) -> None:
    """List the master keys by number, each with a mark derived from it, and the number of workers that loaded all."""
    settings = exit_on_error(read_settings)
    keys = exit_on_error(lambda: settings.with_master_key(create=False))
    file = KeyFile.of(settings)
    print_rows(
        (
            {"number": kid, "use": "verifies" if position else "signs and verifies", "mark": key_id(secret)}
            for position, (kid, secret) in enumerate(keys)
        ),
        as_json=as_json,
    )
    if file is not None:
        known = list(live_registrations(file.folder).values())
        print_done(f"{known.count(fingerprint(keys))} of {len(known)} running workers have loaded exactly these keys.")


@key.command(epilog=example("doorward key add"))
def add() -> None:
    """Add a new key for verification only: the first step of a rotation."""
    _change(with_key_added, lambda at, _, keys: [key_added_event(at, keys[-1][0])])


@key.command(epilog=example("doorward key activate 2"))
@click.argument("number")
def activate(*, number: str) -> None:
    """Sign new tokens with a key: the second step. Tokens signed with the previous key stay valid."""
    before = _change(lambda keys: with_key_activated(keys, number), lambda at, *_: [key_activated_event(at, number)])
    if before[0][0] != number:
        _print_retirement_time(before)


@key.command(epilog=example("doorward key retire 1"))
@click.argument("number")
@yes
def retire(*, number: str, yes: bool) -> None:
    """Remove a key: the last step. Every token signed with it is invalid at once."""
    settings = exit_on_error(read_settings)
    exit_on_error(lambda: with_key_retired(settings.with_master_key(create=False), number))
    question = f"Revoke every session whose token was signed with key {number}?"
    if (until := _needed_until(number)) is not None:
        warning = f"Key {number} is needed until {format_time(until)}: user sessions that it signed may last as long."
        if yes:
            click.secho(warning, err=True, fg="yellow")
        question = f"{warning} {question}"
    confirm(question, yes=yes)
    _change(lambda keys: with_key_retired(keys, number), lambda at, *_: [key_retired_event(at, number)])


@key.command(epilog=example("doorward key rotate\ndoorward key rotate --now --yes"))
@click.option(
    "--now", is_flag=True, help="For a leaked key: replace all keys by a new one, and revoke every session at once."
)
@yes
def rotate(*, now: bool, yes: bool) -> None:
    """Add a new key and sign with it once every worker has loaded it. Tokens of the old key stay valid.

    With --now all old keys are removed: every token of every tenant and user is invalid when the command returns. API
    keys stay valid, since they do not depend on the master key; `doorward apikey revoke` revokes them.
    """
    if now:
        confirm("Revoke every session of every tenant and user?", yes=yes)
        _change(_with_replacement, _replacement_events)
        return
    _change(with_key_added, lambda at, _, keys: [key_added_event(at, keys[-1][0])])
    settings = exit_on_error(read_settings)
    file = KeyFile.of(settings)
    if file is None or file.given:
        return
    newest = max((kid for kid, _ in exit_on_error(lambda: settings.with_master_key(create=False))), key=int)
    before = _change(lambda keys: with_key_activated(keys, newest), lambda at, *_: [key_activated_event(at, newest)])
    _print_retirement_time(before)


def _print_retirement_time(before: Keys) -> None:
    """Print until when the previous signing key is needed."""
    old = before[0][0]
    settings = exit_on_error(read_settings)
    file = KeyFile.of(settings)
    seconds, includes_tenants = _longest_session(settings)
    if file is None or file.given:
        when = f"for {_lifetime(seconds)} from the moment when every instance signs with the new key"
    else:
        when = f"until {format_time(system_clock() + seconds * 1000)}"
    basis = (
        "JWT_KEY_EXP and every tenant's sessionLifetime"
        if includes_tenants
        else "JWT_KEY_EXP; check the tenants' sessionLifetime as well"
    )
    print_done(
        f"Key {old} is needed {when}: user sessions last up to {_lifetime(seconds)} ({basis}). After that: doorward "
        f"key retire {old}. Before that, tenants whose own tokens it signed have to log in again."
    )


def _longest_session(settings: Settings) -> tuple[int, bool]:
    """Return the longest lifetime of a user's session in seconds, and whether the tenants' settings could be read."""

    async def survey() -> int:
        async with read_only_database(settings) as accounts:
            return await longest_session_lifetime(accounts, settings.jwt_key_exp)

    try:
        version, newest = schema_of(settings)
        return (asyncio.run(survey()), True) if version == newest else (settings.jwt_key_exp, False)
    except (CannotStart, Refusal):
        return settings.jwt_key_exp, False


def _needed_until(number: str) -> int | None:
    """Return until when sessions may depend on a key that does not sign; None if none does, or it is not known."""
    settings = exit_on_error(read_settings)
    file = KeyFile.of(settings)
    if file is None or file.given:
        return None  # the audit log has no record of each instance's signing key

    async def work(context: CommandContext) -> int | None:
        since = await signing_stopped_at(context.stores.audit, number)
        if since is None:
            return None
        return since + await longest_session_lifetime(context.stores.accounts, settings.jwt_key_exp) * 1000

    until = run_with_context(work)
    return until if until is not None and until > system_clock() else None


def _lifetime(seconds: int) -> str:
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if not seconds % size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _with_replacement(keys: Keys) -> Keys:
    return ((str(max(int(kid) for kid, _ in keys) + 1), new_key()),)


def _replacement_events(at: int, before: Keys, after: Keys) -> list[Event]:
    new = after[0][0]
    return [key_added_event(at, new), key_activated_event(at, new), *(key_retired_event(at, kid) for kid, _ in before)]


def _change(change: Callable[[Keys], Keys], events_of: Callable[[int, Keys, Keys], list[Event]]) -> Keys:
    """Change the keys, wait until every worker has loaded them, and record the events; return the previous keys."""
    settings = exit_on_error(read_settings)
    before = exit_on_error(lambda: settings.with_master_key(create=False))
    file = KeyFile.of(settings)
    if file is None or file.given:
        after = exit_on_error(lambda: change(before))
        line = ",".join(f"{kid}:{secret}" for kid, secret in after)
        click.echo(line if file else f"JWT_KEY={line}")
        print_done(_operator_keys(file))
        return before
    # Without a database nothing is changed, since the audit events could not be stored.
    exit_on_error(lambda: migrate(settings, create=False))
    try:
        with file.locked():
            before = exit_on_error(file.read)
            after = exit_on_error(lambda: change(before))
            file.write(after)
            late = _wait(file, after)
    except OSError as error:
        exit_with_error(f"{error.filename or file.path} cannot be written ({error.strerror}).")
    events = events_of(system_clock(), before, after)

    async def record(context: CommandContext) -> None:
        for event in events:
            await context.services.audit.record(event)

    run_with_context(record)
    if late:
        exit_with_error(
            f"The keys are changed, but the workers {', '.join(late)} have not loaded them within {_MAX_WAIT:.0f} "
            "seconds; check these processes."
        )
    print_done(f"Key {after[0][0]} signs, keys {', '.join(kid for kid, _ in after)} verify, on every worker.")
    return before


def _operator_keys(file: KeyFile | None) -> str:
    if file is None:
        return (
            "Set JWT_KEY to this value and restart every instance before the next step. `doorward key list` shows the "
            "keys in the settings of this machine."
        )
    return (
        f"Write this to {file.path} on every machine, atomically (a new file, moved over the old one). Workers reload "
        "it; continue with the next step when `doorward key list` shows on every machine that all of them have."
    )


def _wait(file: KeyFile, keys: Keys) -> list[str]:
    """Wait until every live worker has loaded the keys; return those that have not."""
    expected, deadline = fingerprint(keys), monotonic() + _MAX_WAIT
    while True:
        late = [pid for pid, known in live_registrations(file.folder).items() if known != expected]
        if not late or monotonic() > deadline:
            return late
        sleep(_POLL)
