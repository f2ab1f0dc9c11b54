"""Rotation of master keys under load: no worker rejects a token that another has just signed."""

import itertools
import os
import re
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from doorward.core.model import Session, SessionKind
from doorward.core.tenants.settings import TenantSettings, encode_settings
from doorward.core.tokens.codec import Codec, TenantClaims
from doorward.core.tokens.signing import new_session_id
from doorward.operations.master_keys import (
    KeyChangeRefused,
    fingerprint,
    live_registrations,
    with_key_activated,
    with_key_added,
    with_key_retired,
)
from faults.workers import workers_of
from harness import KEY, PASSWORD, Process, serving
from terminal import Operator

OLD = (("1", "a" * 40),)
NOW = 1_800_000_000_000
TENANT_ID = str(uuid4())
SESSION_ID = new_session_id()


def token(codec: Codec) -> tuple[bytes, Session]:
    session = Session(SESSION_ID, SessionKind.TENANT, TENANT_ID, None, None, b"k" * 32, NOW, None)
    claims = TenantClaims(TENANT_ID, "tenant:a@b", "doorward", SESSION_ID, NOW // 1000, isTenant=True)
    return codec.sign(claims, session).encode(), session


def holds(codec: Codec, text: bytes, session: Session) -> bool:
    parsed = codec.parse_tenant(text)
    return parsed is not None and codec.check(parsed, session, NOW)


def test_KR1_KR2_keys_verify_until_they_are_retired_also_those_whose_tokens_are_remembered() -> None:
    codec = Codec({"1": b"old" * 12}, "doorward")
    old, session = token(codec)
    codec.replace_keys({"2": b"new" * 12, "1": b"old" * 12})
    new, _ = token(codec)
    for _ in range(2):
        assert holds(codec, old, session)
        assert holds(codec, new, session)
    in_flight = codec.parse_tenant(old)
    codec.replace_keys({"2": b"new" * 12})
    assert not holds(codec, old, session)
    assert in_flight
    assert not codec.check(in_flight, session, NOW)
    assert holds(codec, new, session)


def test_KR2_a_number_that_got_another_key_proves_nothing_that_the_old_one_did() -> None:
    codec = Codec({"1": b"old" * 12}, "doorward")
    old, session = token(codec)
    assert holds(codec, old, session)
    codec.replace_keys({"1": b"new" * 12})
    assert not holds(codec, old, session)


def test_KR6_a_key_that_is_not_known_yet_is_looked_for_before_its_token_is_refused() -> None:
    signer, verifier = Codec({"2": b"new" * 12}, "doorward"), Codec({"1": b"old" * 12}, "doorward")
    text, session = token(signer)
    assert not holds(verifier, text, session)
    verifier.on_unknown_key(lambda: verifier.replace_keys({"2": b"new" * 12, "1": b"old" * 12}))
    assert holds(verifier, text, session)


@pytest.mark.parametrize("header", [b"e30", b"eyJhbGciOiJub25lIn0", b"", b"x" * 60])
def test_KR5_nonsense_is_refused_without_another_look(header: bytes) -> None:
    codec = Codec({"1": b"old" * 12}, "doorward")
    looks: list[None] = []
    codec.on_unknown_key(lambda: looks.append(None))
    assert codec.parse_user(header + b".e30.x") is None
    assert not looks


def test_keys_are_added_last_activated_first_and_retired_never_while_they_sign() -> None:
    two = with_key_added(OLD)
    assert [kid for kid, _ in two] == ["1", "2"]
    assert [kid for kid, _ in with_key_activated(two, "2")] == ["2", "1"]
    assert with_key_retired(with_key_activated(two, "2"), "1") == (two[1],)
    for change, number in ((with_key_retired, "1"), (with_key_retired, "7"), (with_key_activated, "7")):
        with pytest.raises(KeyChangeRefused):
            change(two, number)


def test_with_JWT_KEY_the_command_says_what_to_put_there(tmp_path: Path) -> None:
    operator = Operator(tmp_path, {})
    first = operator.do("key", "add").stdout.strip().removeprefix("JWT_KEY=")
    assert first.startswith(f"1:{KEY},2:")
    second = operator.do("key", "activate", "2", JWT_KEY=first).stdout.strip().removeprefix("JWT_KEY=")
    assert second.startswith("2:")
    assert second.endswith(f",1:{KEY}")
    third = operator.do("key", "retire", "1", "--yes", JWT_KEY=second).stdout.strip().removeprefix("JWT_KEY=")
    assert third == second.partition(",")[0]
    assert [one["number"] for one in operator.read("key", "list", JWT_KEY=second)] == ["2", "1"]
    assert operator.run("key", "retire", "2", "--yes", JWT_KEY=third).exit_code == 1


@pytest.mark.one_setup
def test_a_rotation_says_until_when_the_old_key_is_needed_and_retiring_it_before_asks(tmp_path: Path) -> None:
    operator = Operator(tmp_path, {"JWT_KEY": "", "JWT_KEY_EXP": "1h"})
    operator.do("tenant", "create", "shop@example.org", "--init", typed=PASSWORD + "\n")
    with closing(sqlite3.connect(tmp_path / "doorward.db", isolation_level=None)) as rows:
        rows.execute(
            "UPDATE tenants SET settings = ?", (encode_settings(TenantSettings(session_lifetime=90 * 86_400)),)
        )
    said = operator.do("key", "rotate").stderr
    begun = time.time()
    found = re.search(r"Key 1 is needed until (\S+): user sessions last up to 90d .* doorward key retire 1\.", said)
    assert found, said
    until = datetime.fromisoformat(found[1]).timestamp()
    assert until == pytest.approx(begun + 90 * 86_400, abs=60)
    refused = operator.run("key", "retire", "1")
    assert refused.exit_code == 2, "there is no terminal to ask at"
    assert operator.do("key", "retire", "1", "--yes").stderr.startswith(f"Key 1 is needed until {found[1][:-3]}")


@pytest.mark.one_setup
def test_retiring_a_key_that_is_not_there_or_signs_warns_and_asks_nothing(tmp_path: Path) -> None:
    operator = Operator(tmp_path, {"JWT_KEY": "", "JWT_KEY_EXP": "1h"})
    operator.do("tenant", "create", "shop@example.org", "--init", typed=PASSWORD + "\n")
    operator.do("key", "rotate")
    for number, sentence in (("7", "There is no key 7."), ("2", "Key 2 signs; activate another one first.")):
        for options in ((), ("--yes",)):
            refused = operator.run("key", "retire", number, *options)
            assert (refused.exit_code, refused.stderr, refused.stdout) == (1, f"{sentence}\n", "")


@pytest.mark.one_setup
def test_a_key_that_never_signed_or_is_needed_no_more_is_retired_without_a_warning(tmp_path: Path) -> None:
    operator = Operator(tmp_path, {"JWT_KEY": "", "JWT_KEY_EXP": "1s"})
    operator.do("tenant", "create", "shop@example.org", "--init", typed=PASSWORD + "\n")
    operator.do("key", "add")
    operator.do("key", "rotate")
    time.sleep(1.1)
    for number in ("1", "2"):
        said = operator.do("key", "retire", number, "--yes", JWT_KEY_EXP="7d" if number == "2" else "1s").stderr
        assert "is needed" not in said


@pytest.mark.one_setup
def test_with_JWT_KEY_the_time_is_printed_without_a_date(tmp_path: Path) -> None:
    operator = Operator(tmp_path, {"JWT_KEY_EXP": "12h"})
    first = operator.do("key", "add").stdout.strip().removeprefix("JWT_KEY=")
    said = operator.do("key", "activate", "2", JWT_KEY=first).stderr
    assert "Key 1 is needed for 12h from the moment when every instance signs with the new key" in said
    assert "check the tenants' sessionLifetime as well" in said, "there is no database to look at"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Process]:
    with serving(tmp_path, {"WORKERS": "4"}) as process:
        yield process


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    return Operator(tmp_path / "data", {"JWT_KEY": ""})


def register(service: Process, email: str) -> str:
    answer = httpx.post(f"{service.url}/tenant", json={"email": email, "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["token"])


def status(service: Process, held: str, times: int = 24) -> set[int]:
    """Ask again and again over new connections, so that every worker is asked."""
    headers = {"Authorization": f"Bearer {held}"}
    return {httpx.get(f"{service.url}/tenant", headers=headers).status_code for _ in range(times)}


@pytest.mark.slow
def test_KR1_KR2_KR6_under_load_no_fresh_token_is_refused_by_any_of_four_workers(
    service: Process, operator: Operator
) -> None:
    old = register(service, "first@example.org")
    stop = threading.Event()
    wrong: list[str] = []
    made = itertools.count()

    def load(name: int) -> None:
        client = httpx.Client(base_url=service.url)
        body = {"email": "first@example.org", "password": PASSWORD}
        while not stop.is_set():
            fresh = client.post("/tenant/login", json=body)
            if fresh.status_code in {429, 503}:
                continue
            # Each answer over a connection of its own: another worker than the one that signed.
            headers = {"Authorization": f"Bearer {fresh.json()['token']}"}
            for _ in range(4):
                answer = httpx.get(f"{service.url}/tenant", headers=headers)
                if answer.status_code != 200:
                    wrong.append(f"{name}: {answer.status_code}")
            next(made)

    threads = [threading.Thread(target=load, args=(name,)) for name in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            operator.do("key", "rotate")
            time.sleep(0.3)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not wrong
    assert next(made) > 5
    assert status(service, old) == {200}
    new = register(service, "second@example.org")
    assert [one["number"] for one in operator.read("key", "list")] == ["4", "3", "2", "1"]
    operator.do("key", "retire", "1", "--yes")
    assert status(service, old) == {401}
    assert status(service, new) == {200}
    told = [one["action"] for one in operator.read("audit", "show", "--tenant", "service")]
    assert told[:3] == ["operator.key_retire", "operator.key_activate", "operator.key_add"]


@pytest.mark.slow
def test_KR3_in_an_emergency_one_command_ends_every_session_on_every_worker(
    service: Process, operator: Operator
) -> None:
    old = register(service, "first@example.org")
    assert status(service, old, 4) == {200}
    operator.do("key", "rotate", "--now", "--yes")
    assert status(service, old) == {401}
    assert status(service, register(service, "second@example.org")) == {200}
    assert len(operator.read("key", "list")) == 1


@pytest.mark.slow
def test_KR6_a_worker_that_hangs_is_waited_for_until_its_successor_knows_the_keys(
    service: Process, operator: Operator
) -> None:
    # Until the supervisor has heard that all serve: before that a worker has a minute.
    time.sleep(3)
    os.kill(workers_of(service)[0], signal.SIGSTOP)
    answer = operator.run("key", "add")
    # The supervisor kills a worker that hangs and starts another one.
    assert answer.exit_code == 0, answer.output
    lines = (operator.folder / "master.key").read_text().split()
    keys = tuple((kid, key) for kid, _, key in (line.partition(":") for line in lines))
    assert len(keys) == 2
    assert set(live_registrations(operator.folder).values()) == {fingerprint(keys)}


@pytest.mark.slow
def test_the_workers_that_live_say_what_they_know_and_the_dead_do_not(service: Process, operator: Operator) -> None:
    known = live_registrations(operator.folder)
    assert len(known) == 4
    [one] = set(known.values())
    lines = (operator.folder / "master.key").read_text().split()
    assert one == fingerprint(tuple((kid, key) for kid, _, key in (line.partition(":") for line in lines)))
    assert "4 of 4" in operator.do("key", "list").stderr
    service.kill()
    deadline = time.monotonic() + 10
    while live_registrations(operator.folder):
        assert time.monotonic() < deadline, "a worker that was killed is taken for alive"
        time.sleep(0.05)
