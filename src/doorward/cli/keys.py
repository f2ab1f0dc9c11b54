"""`doorward key`: the service's master keys replaced, while it runs and without a token refused that should hold."""

from collections.abc import Callable
from time import monotonic, sleep

import click

from doorward.cli.desk import (
    Desk,
    as_json,
    at_desk,
    confirmed,
    done,
    example,
    explained,
    fail,
    read_settings,
    show,
    yes,
)
from doorward.core.clock import system_clock
from doorward.core.model import Event
from doorward.core.operations import key_activated, key_added, key_retired
from doorward.master_keys import KeyFile, activated, added, fingerprint, mark, present, retired
from doorward.settings.keys import Keys, new_key
from doorward.stores import migrate

_PATIENCE = 10.0
_POLL = 0.05


@click.group("key", epilog=example("doorward key rotate"))
def key() -> None:
    """Replace the service's master keys; tenants' API keys are `doorward apikey`."""


@key.command("list", epilog=example("doorward key list --json"))
@as_json
def list_keys(*, as_json: bool) -> None:
    """List the master keys by number, with a mark that stands for each, and how many live workers know all of them."""
    settings = explained(read_settings)
    keys = explained(lambda: settings.with_master_key(create=False))
    file = KeyFile.of(settings)
    show(
        (
            {"number": kid, "use": "verifies" if place else "signs and verifies", "mark": mark(secret)}
            for place, (kid, secret) in enumerate(keys)
        ),
        as_json=as_json,
    )
    if file is not None:
        known = list(present(file.folder).values())
        done(f"{known.count(fingerprint(keys))} of {len(known)} running workers work with exactly these.")


@key.command(epilog=example("doorward key add"))
def add() -> None:
    """Add a new key that verifies only: the first step of a rotation."""
    _change(added, lambda at, _, keys: [key_added(at, keys[-1][0])])


@key.command(epilog=example("doorward key activate 2"))
@click.argument("number")
def activate(*, number: str) -> None:
    """Let a key that every worker knows sign from now on: the second step. Tokens of the one before still hold."""
    _change(lambda keys: activated(keys, number), lambda at, *_: [key_activated(at, number)])


@key.command(epilog=example("doorward key retire 1"))
@click.argument("number")
@yes
def retire(*, number: str, yes: bool) -> None:
    """Remove a key: the last step. Every token that was signed with it is worth nothing at once."""
    confirmed(f"End every session whose token was signed with key {number}?", yes=yes)
    _change(lambda keys: retired(keys, number), lambda at, *_: [key_retired(at, number)])


@key.command(epilog=example("doorward key rotate\ndoorward key rotate --now --yes"))
@click.option("--now", is_flag=True, help="A key has leaked: a new one alone, and every session ends at once.")
@yes
def rotate(*, now: bool, yes: bool) -> None:
    """Make a new key and let it sign, with every worker knowing it before; tokens of the old key still hold.

    With --now no old key stays: every token of every tenant and user is worth nothing when this returns, however many
    there are. API keys go on, since they do not hang on the master key; `doorward apikey revoke` ends them.
    """
    if now:
        confirmed("End every session of every tenant and user?", yes=yes)
        _change(_replaced, _told_of_replacement)
        return
    _change(added, lambda at, _, keys: [key_added(at, keys[-1][0])])
    settings = explained(read_settings)
    file = KeyFile.of(settings)
    if file is None or file.given:
        return
    newest = max((kid for kid, _ in explained(lambda: settings.with_master_key(create=False))), key=int)
    _change(lambda keys: activated(keys, newest), lambda at, *_: [key_activated(at, newest)])
    done("When the longest lifetime of a token (JWT_KEY_EXP) has passed: doorward key retire, with the old number.")


def _replaced(keys: Keys) -> Keys:
    return ((str(max(int(kid) for kid, _ in keys) + 1), new_key()),)


def _told_of_replacement(at: int, before: Keys, after: Keys) -> list[Event]:
    new = after[0][0]
    return [key_added(at, new), key_activated(at, new), *(key_retired(at, kid) for kid, _ in before)]


def _change(change: Callable[[Keys], Keys], told: Callable[[int, Keys, Keys], list[Event]]) -> None:
    """Change the keys, wait until every worker works with them, and write it in the service's log."""
    settings = explained(read_settings)
    before = explained(lambda: settings.with_master_key(create=False))
    file = KeyFile.of(settings)
    if file is None or file.given:
        after = explained(lambda: change(before))
        line = ",".join(f"{kid}:{secret}" for kid, secret in after)
        click.echo(line if file else f"JWT_KEY={line}")
        done(_given(file))
        return
    # Without a database nothing is changed, since it could not be noted.
    explained(lambda: migrate(settings, create=False))
    try:
        with file.held():
            before = explained(file.read)
            after = explained(lambda: change(before))
            file.write(after)
            late = _wait(file, after)
    except OSError as error:
        fail(f"{error.filename or file.path} cannot be written ({error.strerror}).")
    events = told(system_clock(), before, after)

    async def note(desk: Desk) -> None:
        for event in events:
            await desk.operations.note(event)

    at_desk(note)
    if late:
        fail(
            f"The keys are changed, but the workers {', '.join(late)} did not say within {_PATIENCE:.0f} seconds that "
            "they work with them; look after these processes."
        )
    done(f"Key {after[0][0]} signs, keys {', '.join(kid for kid, _ in after)} verify, on every worker.")


def _given(file: KeyFile | None) -> str:
    if file is None:
        return (
            "Put this where JWT_KEY is given, restart every instance, and go on only then with the next step. "
            "`doorward key list` shows what the settings of this machine give."
        )
    return (
        f"Put this into {file.path} on every machine, in one step (a new file, moved over the old one). Every worker "
        "follows it; go on with the next step when `doorward key list` says on every machine that all of them do."
    )


def _wait(file: KeyFile, keys: Keys) -> list[str]:
    """Wait until every live worker works with the keys; return those that do not."""
    wanted, deadline = fingerprint(keys), monotonic() + _PATIENCE
    while True:
        late = [pid for pid, known in present(file.folder).items() if known != wanted]
        if not late or monotonic() > deadline:
            return late
        sleep(_POLL)
