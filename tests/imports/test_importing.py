"""Results of an import from backend-auth, and what it leaves unchanged."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from doorward.core.audit.service import fingerprint
from doorward.core.errors import CannotStart
from doorward.core.model import Session, SessionKind, Tenant, User
from doorward.core.passwords.formats import LEGACY
from doorward.core.ports import SessionRef
from doorward.core.tokens.legacy import KEY_PREFIXES
from doorward.imports.backend_auth.report import MAX_FINDINGS, FindingKind, ImportReport
from doorward.settings import Settings
from doorward.storage.relational.database import Step
from doorward.storage.sqlite.database import SqliteDatabase
from doorward.stores import Stores
from harness import TurnableClock, read_settings
from imports.import_run import bring_in, with_stores
from legacy_server import COMPAT, DUMP, Predecessor

pytestmark = pytest.mark.slow

HASH = "$2a$10$BiO39ybNjFS1P5m7fL9/ZuWw5pgADUVO3Yw21rWAdeHXxCKqxb/o6"
SHOP = str(uuid4())


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return read_settings(tmp_path, COMPAT)


def keep_tenant(predecessor: Predecessor, email: str = "shop@example.org", tenant_id: str = SHOP, **more: Any) -> None:
    row = {"id": tenant_id, "login": f"tenant:{email}", "passwordHash": HASH, "email": email, **more}
    predecessor.keep(f"auth_tenant:{email}", row)


def keep_user(predecessor: Predecessor, kept_by: str, tenant_id: str = SHOP, **more: Any) -> str:
    row = {
        "id": str(uuid4()),
        "login": kept_by,
        "password": HASH,
        "email": "u@example.org",
        "tenant": tenant_id,
        "registrationDate": 1_700_000_000_000,
        "lastActivity": 1_700_000_000_001,
        "sub": "s",
        **more,
    }
    predecessor.keep(f"auth_{tenant_id}:{kept_by}", {name: value for name, value in row.items() if value is not ...})
    return str(row["id"])


def keep_session(
    predecessor: Predecessor, owner: str, device: str = "d", at: int = 1_700_000_000_000, seconds: int | None = 600
) -> str:
    name = f"{owner}{device}{at}"
    predecessor.keep(f"auth_{name}", str(uuid4()), seconds)
    return name


def rename_keys(predecessor: Predecessor, prefix: str) -> None:
    """Give the keys that begin with `auth_` another beginning."""
    names: Any = predecessor.redis.keys("auth_*")
    for name in names:
        predecessor.redis.rename(name, prefix.encode() + name.removeprefix(b"auth_"))


def user(settings: Settings, login: str, tenant_id: str = SHOP) -> User | None:
    return with_stores(settings, lambda stores: stores.accounts.user_by_login(tenant_id, login))


def tenant(settings: Settings, tenant_id: str = SHOP) -> Tenant | None:
    return with_stores(settings, lambda stores: stores.accounts.tenant_by_id(tenant_id))


def session(settings: Settings, name: str) -> Session | None:
    return with_stores(
        settings, lambda stores: stores.sessions.find(SessionRef(name, name[:36], SessionKind.IMPORTED_USER))
    )


def found(report: ImportReport) -> dict[FindingKind, list[str]]:
    return {sort: [one.name for one in report.named if one.kind is sort] for sort in report.findings}


def test_the_dump_is_brought_in_whole_and_the_report_names_its_oddities(
    settings: Settings, predecessor: Predecessor
) -> None:
    predecessor.load_dump()
    before = predecessor.everything()
    report = bring_in(settings, predecessor)
    assert report.counts == {
        "tenants read": 2,
        "tenants added": 2,
        "users read": 12,
        "users added": 12,
        "sessions read": 19,
        "sessions known": 0,
        "sessions added": 16,
    }
    gone, replaced = "0e3d570b-0a8e-4738-95e9-89cdb5a5fe33", "806924da-59cb-4c60-9177-2a14599f8b1a"
    assert {sort: sorted(names) for sort, names in found(report).items()} == {
        FindingKind.NO_HASH: ["broken60"],
        FindingKind.UNUSUAL_HASH: ["erin@example.com"],
        FindingKind.NAMELESS: ["undefined"],
        FindingKind.ORPHAN_DROPPED: [
            f"{gone}d1795460363901",
            f"{replaced}before-overwrite1795460364147",
            f"{replaced}d1795460363224",
        ],
    }
    assert predecessor.everything() == before


def test_users_keep_everything_and_tell_no_scope_from_null(settings: Settings, predecessor: Predecessor) -> None:
    keep_tenant(predecessor)
    scopes = {"none": ..., "null": None, "nested": {"a": [1.5, {"b": None}], "ж": "€"}, "false": False, "empty": ""}
    ids = {name: keep_user(predecessor, name, scope=scope) for name, scope in scopes.items()}
    bring_in(settings, predecessor)
    for name, scope in scopes.items():
        there = user(settings, name)
        assert there
        assert (there.id, there.tenant_id, there.email, there.sub) == (ids[name], SHOP, "u@example.org", "s")
        assert (there.registration_date, there.last_activity) == (1_700_000_000_000, 1_700_000_000_001)
        assert there.password_hash == LEGACY + HASH
        assert there.company is None
        if scope is ...:
            assert there.scope is None
        else:
            assert there.scope
            assert json.loads(there.scope) == scope


def test_a_second_run_changes_nothing_and_a_later_one_adds_what_is_new(
    settings: Settings, predecessor: Predecessor, clock: TurnableClock
) -> None:
    predecessor.load_dump()
    bring_in(settings, predecessor, clock=clock)
    before = everything(settings)
    clock.turn(seconds=3_600)
    report = bring_in(settings, predecessor, clock=clock)
    assert (report.counts["users known"], report.counts["sessions known"]) == (12, 16)
    assert {sort: len(names) for sort, names in found(report).items()} == {FindingKind.HELD_BACK: 3}
    assert not any(count for what, count in report.counts.items() if what.endswith("added"))
    assert everything(settings) == before
    one = DUMP["tenants"][0]["id"]
    new = keep_user(predecessor, "new", one, registrationDate=clock.now)
    name = keep_session(predecessor, new, at=clock.now)
    clock.turn(seconds=60)
    for chosen, read in (({"catch_up": True, "keep_orphans": True}, 1), ({}, 20)):
        report = bring_in(settings, predecessor, clock=clock, **chosen)
        assert report.counts["sessions read"] == read
        assert report.counts["users added"] == (read == 1)
        assert report.counts["sessions added"] == (read == 1)
        there = session(settings, name)
        assert there
        assert (there.tenant_id, there.user_id, there.device_id) == (one, new, "d")
    assert set(report.findings) == {FindingKind.HELD_BACK}


def everything(settings: Settings) -> list[tuple[Any, ...]]:
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(settings.database_path)) as connection:
        tables = ("tenants", "users", "sessions", "epochs", "audit")
        return [row for table in tables for row in sorted(connection.execute(f"SELECT * FROM {table}"), key=repr)]


def test_what_was_changed_here_wins_and_what_ended_here_does_not_come_back(
    settings: Settings, predecessor: Predecessor, clock: TurnableClock
) -> None:
    keep_tenant(predecessor)
    keep_tenant(predecessor, "other@example.org", other := str(uuid4()))
    for login in ("changed", "deleted", "logged out"):
        keep_session(predecessor, keep_user(predecessor, login))
    keep_user(predecessor, "theirs", other)
    bring_in(settings, predecessor, clock=clock)
    clock.turn(seconds=3_600)

    async def live_on(stores: Stores) -> None:
        accounts, sessions = stores.accounts, stores.sessions
        changed = await accounts.user_by_login(SHOP, "changed")
        deleted = await accounts.user_by_login(SHOP, "deleted")
        out = await accounts.user_by_login(SHOP, "logged out")
        assert changed
        assert deleted
        assert out
        assert await accounts.set_user_hash(changed, "new")
        await sessions.revoke_user(SHOP, deleted.id)
        assert await accounts.delete_user(SHOP, deleted.id)
        [device] = await sessions.list_user(SHOP, out.id, limit=9)
        assert await sessions.revoke(device.session)
        assert await accounts.delete_tenant(other)
        while await accounts.purge(limit=100, forget=stores.sessions.erase_users):
            pass

    with_stores(settings, live_on)
    report = bring_in(settings, predecessor, clock=clock)
    changed = user(settings, "changed")
    assert changed
    assert changed.password_hash == "new"
    assert user(settings, "deleted") is None
    assert tenant(settings, other) is None
    assert report.counts["sessions added"] == report.counts["users added"] == report.counts["tenants added"] == 0
    held = found(report)[FindingKind.HELD_BACK]
    assert {"deleted", "other@example.org"} <= set(held)
    assert sum(name.endswith("d1700000000000") for name in held) == 2


@pytest.mark.parametrize("keep", [False, True], ids=["drop", "keep"])
def test_S15_T8_a_catch_up_follows_the_source_in_what_was_not_touched_here_and_tells_the_log(
    settings: Settings, predecessor: Predecessor, clock: TurnableClock, *, keep: bool
) -> None:
    keep_tenant(predecessor)
    keep_tenant(predecessor, "other@example.org", other := str(uuid4()))
    ids = {login: keep_user(predecessor, login) for login in ("again", "gone", "kept", "out", "used")}
    names = {login: keep_session(predecessor, user_id) for login, user_id in ids.items()}
    bystander = keep_session(predecessor, keep_user(predecessor, "gone", other))
    second = keep_session(predecessor, ids["out"], "second")
    bring_in(settings, predecessor, clock=clock)
    used = user(settings, "used")
    assert used
    assert with_stores(settings, lambda stores: stores.accounts.set_user_hash(used, "$argon2id$renewed"))
    clock.turn(seconds=3_600)
    again = keep_user(predecessor, "again", registrationDate=clock.now, lastActivity=clock.now)
    predecessor.redis.delete(f"auth_{SHOP}:gone", f"auth_{SHOP}:used", f"auth_{names['out']}")
    keep_user(predecessor, "kept", id=ids["kept"], lastActivity=clock.now)
    before = {tenant_id: len(trail(settings, tenant_id)) for tenant_id in (SHOP, other)}
    report = bring_in(settings, predecessor, clock=clock, catch_up=True, keep_orphans=keep)
    now = {login: user(settings, login) for login in ids}
    assert now["again"]
    assert now["again"].id == again
    assert now["gone"] is None
    assert now["used"], "what was touched here stays"
    assert now["kept"]
    assert now["kept"].last_activity == clock.now
    alive = {login: session(settings, name) is not None for login, name in names.items()}
    assert alive == {"again": keep, "gone": keep, "kept": True, "out": False, "used": True}
    assert session(settings, second)
    assert session(settings, bystander)
    assert {sort: set(rows) for sort, rows in found(report).items()} == {
        FindingKind.REPLACED: {"again"},
        FindingKind.GONE: {names["out"], "gone"},
    }
    told = trail(settings, SHOP)[before[SHOP] :]
    # The batch in which "again" was read has an event of its own, without a subject.
    assert {(one["action"], one.get("subject"), one.get("session")) for one in told if one.get("subject")} == {
        ("user.delete", ids["again"], None),
        ("users.import", again, None),
        ("session.revoke", ids["out"], fingerprint(names["out"])),
        ("user.delete", ids["gone"], None),
    }
    assert len(told) == 5
    assert {(one["actor"], one["outcome"], one["at"]) for one in told} == {("operator", "success", clock.now)}
    assert trail(settings, other)[before[other] :] == []


def trail(settings: Settings, tenant_id: str) -> list[dict[str, Any]]:
    """Return the events of a tenant's log, oldest first."""

    async def read(stores: Stores) -> list[dict[str, Any]]:
        entries = await stores.audit.page(tenant_id, before=None, limit=500)
        return [json.loads(entry.text) for entry in reversed(entries)]

    return with_stores(settings, read)


@pytest.mark.parametrize("keep", [False, True], ids=["drop", "keep"])
def test_logins_that_differ_only_in_case_cannot_both_be_kept(
    settings: Settings, predecessor: Predecessor, *, keep: bool
) -> None:
    keep_tenant(predecessor)
    names = {login: keep_session(predecessor, keep_user(predecessor, login)) for login in ("Bob", "bob")}
    report = bring_in(settings, predecessor, keep_orphans=keep)
    there = user(settings, "BOB")
    assert there
    assert [there.login, *found(report)[FindingKind.LOGIN_CONFLICT]] in (["Bob", "bob"], ["bob", "Bob"])
    alive = {login for login, name in names.items() if session(settings, name)}
    assert alive == ({"Bob", "bob"} if keep else {there.login})


def test_tenants_whose_address_is_taken_or_whose_record_is_lost_go_on_under_one_that_stands_for_it(
    settings: Settings, predecessor: Predecessor
) -> None:
    keep_tenant(predecessor)
    keep_tenant(predecessor, "SHOP@example.org", same := str(uuid4()))
    lost, alone = str(uuid4()), str(uuid4())
    keep_user(predecessor, "theirs", lost)
    keep_session(predecessor, alone, "", seconds=None)
    report = bring_in(settings, predecessor)
    emails = sorted(there.email for one in (SHOP, same) if (there := tenant(settings, one)))
    assert len(emails) == 2
    assert [email for email in emails if email.endswith("@tenant.invalid")]
    assert len(found(report)[FindingKind.TENANT_CONFLICT]) == 1
    for one in (lost, alone):
        there = tenant(settings, one)
        assert there
        assert (there.email, there.password_hash) == (f"{one}@tenant.invalid", "")
    assert user(settings, "theirs", lost)


ODD: Mapping[str, tuple[dict[str, Any], FindingKind]] = {
    "plain": ({"password": "p" * 60}, FindingKind.NO_HASH),
    "no password": ({"password": ...}, FindingKind.NO_HASH),
    "costly": ({"password": "$2a$31$" + HASH[7:]}, FindingKind.HOSTILE_HASH),
    "cheap": ({"password": "$2a$03$" + HASH[7:]}, FindingKind.HOSTILE_HASH),
    "other cost": ({"password": "$2a$12$" + HASH[7:]}, FindingKind.UNUSUAL_HASH),
    "other kind": ({"password": "$2y$10$" + HASH[7:]}, FindingKind.UNUSUAL_HASH),
    "large": ({"scope": "x" * 6_000}, FindingKind.LARGE_SCOPE),
    "zero\u200bwidth": ({}, FindingKind.CANNOT_LOG_IN),
    "l" * 257: ({}, FindingKind.CANNOT_LOG_IN),
    "bob ": ({}, FindingKind.ODD_NAME),
    "..": ({}, FindingKind.ODD_NAME),
    "bo\u034fb": ({}, FindingKind.ODD_NAME),
    "undefined": ({"login": ..., "email": ...}, FindingKind.NAMELESS),
}


@pytest.mark.parametrize("login", ODD, ids=lambda login: ascii(login[:20]))
def test_odd_users_are_kept_and_named(settings: Settings, predecessor: Predecessor, login: str) -> None:
    more, sort = ODD[login]
    keep_tenant(predecessor)
    name = keep_session(predecessor, keep_user(predecessor, login, **more))
    report = bring_in(settings, predecessor)
    assert found(report) == {sort: [login]}
    there = user(settings, login)
    assert there
    assert bool(there.password_hash) == (sort not in {FindingKind.NO_HASH, FindingKind.HOSTILE_HASH})
    assert session(settings, name)
    assert "pppp" not in json.dumps(report.as_json())


ID = str(uuid4())
UNREADABLE = {
    "no JSON": (f"auth_{SHOP}:x", "{"),
    "no object": (f"auth_{SHOP}:x", "null"),
    "no id": (f"auth_{SHOP}:x", '{"login":"x"}'),
    "an id that is none": (f"auth_{SHOP}:x", '{"id":"x","login":"x"}'),
    "a scope too deep": (f"auth_{SHOP}:x", f'{{"id":"{ID}","login":"x","scope":{"[" * 5_000}{"]" * 5_000}}}'),
    "a login with NUL": (f"auth_{SHOP}:x", json.dumps({"id": ID, "login": "a\0b"})),
    "an empty login": (f"auth_{SHOP}:x", json.dumps({"id": ID, "login": ""})),
    "a login without end": (f"auth_{SHOP}:x", json.dumps({"id": ID, "login": "x" * 1_025})),
    "no tenant": ("auth_nobody:x", json.dumps({"id": ID, "login": "x"})),
    "no colon": (f"auth_{SHOP}x", json.dumps({"id": ID, "login": "x"})),
    "a tenant that is none": ("auth_tenant:x@y", "[]"),
    "a session of nobody": ("auth_1700000000000", ID),
    "a session with NUL": (f"auth_{ID}a\0b1700000000000", ID),
}


@pytest.mark.parametrize("row", UNREADABLE)
def test_what_cannot_be_read_is_named_and_stops_nothing(settings: Settings, predecessor: Predecessor, row: str) -> None:
    keep_tenant(predecessor)
    keep_user(predecessor, "alice")
    key, value = UNREADABLE[row]
    predecessor.keep(key, value)
    report = bring_in(settings, predecessor)
    assert found(report) == {FindingKind.UNREADABLE: [key]}
    assert user(settings, "alice")
    assert user(settings, "x") is None


def test_keys_and_values_of_other_programs_are_left_alone(settings: Settings, predecessor: Predecessor) -> None:
    keep_tenant(predecessor)
    predecessor.redis.zadd("request_throttler_127.0.0.1", {"x": 1})
    predecessor.redis.hset("auth_hash", "a", "b")
    predecessor.redis.set(b"auth_\xff\xfe", b"\xff\xfe")
    report = bring_in(settings, predecessor)
    assert found(report) == {FindingKind.UNREADABLE: ["auth_\udcff\udcfe"]}
    json.dumps(report.as_json()).encode()


def test_a_device_may_be_named_like_a_users_key_and_a_login_like_a_sessions(
    settings: Settings, predecessor: Predecessor
) -> None:
    keep_tenant(predecessor)
    owner = keep_user(predecessor, "login1700000000000")
    name = keep_session(predecessor, owner, ":device")
    bring_in(settings, predecessor)
    there = session(settings, name)
    assert there
    assert (there.tenant_id, there.device_id) == (SHOP, ":device")
    assert user(settings, "login1700000000000")


def test_TK17_a_users_session_has_an_end_and_a_tenants_has_none(
    settings: Settings, predecessor: Predecessor, clock: TurnableClock
) -> None:
    keep_tenant(predecessor)
    owner = keep_user(predecessor, "alice")
    brief, endless = keep_session(predecessor, owner), keep_session(predecessor, owner, "e", clock.now, seconds=None)
    own = keep_session(predecessor, SHOP, "", seconds=None)
    report = bring_in(settings, predecessor, clock=clock, lifetime=1_000)
    ends = {name: there.expires_at or 0 for name in (brief, endless, own) if (there := session(settings, name))}
    assert ends[own] == 0
    assert ends[endless] == clock.now + 1_000_000
    assert clock.now + 590_000 < ends[brief] <= clock.now + 600_000
    assert found(report) == {FindingKind.ENDLESS: [endless]}


def test_S15_sessions_of_deleted_users_are_not_opened(settings: Settings, predecessor: Predecessor) -> None:
    keep_tenant(predecessor)
    live = keep_session(predecessor, keep_user(predecessor, "alice"))
    name = keep_session(predecessor, str(uuid4()))
    report = bring_in(settings, predecessor)
    assert found(report) == {FindingKind.ORPHAN_DROPPED: [name]}
    assert session(settings, name) is None
    assert session(settings, live)


def test_sessions_of_deleted_users_can_be_let_go_on(settings: Settings, predecessor: Predecessor) -> None:
    keep_tenant(predecessor)
    name = keep_session(predecessor, str(uuid4()))
    report = bring_in(settings, predecessor, keep_orphans=True)
    assert found(report) == {FindingKind.ORPHAN: [name]}
    assert session(settings, name)


def test_S5_an_import_stops_where_the_quota_has_no_room_and_goes_on_when_it_is_raised(
    settings: Settings, predecessor: Predecessor, clock: TurnableClock
) -> None:
    clock.now = 1_700_000_100_000
    limited = replace(settings, max_users_per_tenant=2)
    keep_tenant(predecessor)
    keep_user(predecessor, "alice")
    bring_in(limited, predecessor, clock=clock)
    clock.turn(seconds=600)
    for login in ("bob", "carol"):
        keep_session(predecessor, keep_user(predecessor, login, registrationDate=clock.now), at=clock.now, seconds=None)
    clock.turn(seconds=600)
    with pytest.raises(CannotStart, match=f"The users of tenant {SHOP}"):
        bring_in(limited, predecessor, clock=clock)
    assert user(settings, "bob") is None
    # The run is not complete, so the next one does not take the users for deleted ones.
    clock.turn(seconds=600)
    report = bring_in(replace(settings, max_users_per_tenant=3), predecessor, clock=clock)
    assert (report.counts["users added"], report.counts["sessions added"]) == (2, 2)
    assert user(settings, "carol")


def test_an_empty_source_is_refused_and_ends_nothing(
    settings: Settings, predecessor: Predecessor, clock: TurnableClock
) -> None:
    keep_tenant(predecessor)
    name = keep_session(predecessor, keep_user(predecessor, "alice"))
    bring_in(settings, predecessor, clock=clock)
    predecessor.redis.flushall()
    with pytest.raises(CannotStart, match="nothing to import"):
        bring_in(settings, predecessor, clock=clock, catch_up=True)
    assert session(settings, name)


def test_rows_are_written_in_batches(
    settings: Settings, predecessor: Predecessor, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_tenant(predecessor)
    for number in range(1_500):
        owner = keep_user(predecessor, f"user-{number}")
        keep_session(predecessor, owner)
        keep_session(predecessor, owner, "e")
    writes: list[int] = []
    write = SqliteDatabase.write

    async def counted(self: SqliteDatabase, *steps: Step) -> list[Any]:
        writes.append(len(steps))
        return await write(self, *steps)

    monkeypatch.setattr(SqliteDatabase, "write", counted)
    report = bring_in(settings, predecessor)
    assert (report.counts["users added"], report.counts["sessions added"]) == (1_500, 3_000)
    assert len(writes) < 60
    assert max(writes) < 2_100


def test_a_report_names_only_so_many_of_a_sort() -> None:
    report = ImportReport()
    for number in range(MAX_FINDINGS + 5):
        report.find(FindingKind.ORPHAN, "", str(number))
    assert (len(report.named), report.findings[FindingKind.ORPHAN]) == (MAX_FINDINGS, MAX_FINDINGS + 5)


@pytest.mark.parametrize("prefix", ["jincor_auth_", "auth_", "shop[1]*?^-\\", "jincor_auth_tenant:"])
def test_C2_keys_of_every_version_are_imported(
    settings: Settings, predecessor: Predecessor, clock: TurnableClock, prefix: str
) -> None:
    predecessor.load_dump()
    whole = bring_in(settings, predecessor, clock=clock)
    rename_keys(predecessor, prefix)
    before = predecessor.everything()
    other = replace(settings, data_dir=f"{settings.data_dir}/other")
    report = bring_in(other, predecessor, clock=clock, prefix="" if prefix in KEY_PREFIXES else prefix)
    assert (report.counts, report.findings) == (whole.counts, whole.findings)
    assert report.counts["sessions added"] == 16
    assert predecessor.everything() == before


def test_C2_a_catch_up_reads_the_older_keys_too(
    settings: Settings, predecessor: Predecessor, clock: TurnableClock
) -> None:
    keep_tenant(predecessor)
    ids = {login: keep_user(predecessor, login) for login in ("stays", "goes")}
    names = [keep_session(predecessor, ids["stays"], device) for device in ("a", "b")]
    rename_keys(predecessor, "jincor_auth_")
    bring_in(settings, predecessor, clock=clock)
    clock.turn(seconds=3_600)
    predecessor.redis.delete(f"jincor_auth_{SHOP}:goes", f"jincor_auth_{names[0]}")
    keep_user(predecessor, "new", registrationDate=clock())
    rename_keys(predecessor, "jincor_auth_")
    report = bring_in(settings, predecessor, clock=clock, catch_up=True)
    assert {sort: set(gone) for sort, gone in found(report).items()} == {FindingKind.GONE: {"goes", names[0]}}
    assert [bool(user(settings, login)) for login in ("stays", "goes", "new")] == [True, False, True]
    assert [bool(session(settings, name)) for name in names] == [False, True]


def test_C2_keys_of_two_versions_need_a_choice_and_are_sources_apart(
    settings: Settings, predecessor: Predecessor, clock: TurnableClock
) -> None:
    other = str(uuid4())
    keep_tenant(predecessor, "old@example.org", other)
    keep_user(predecessor, "ancient", other)
    rename_keys(predecessor, "jincor_auth_")
    keep_tenant(predecessor)
    keep_user(predecessor, "recent")
    with pytest.raises(CannotStart, match=r"begin with auth_ and jincor_auth_.*--prefix"):
        bring_in(settings, predecessor, clock=clock)
    bring_in(settings, predecessor, clock=clock, prefix="auth_")
    assert [bool(tenant(settings)), bool(tenant(settings, other))] == [True, False]
    # The users of the other keys are older than the run before, and imported all the same.
    clock.turn(seconds=3_600)
    assert bring_in(settings, predecessor, clock=clock, prefix="jincor_auth_").counts["users added"] == 1
    assert user(settings, "ancient", other)


def test_C2_a_catch_up_with_one_source_leaves_the_users_of_another_alone(
    settings: Settings, predecessor: Predecessor, clock: TurnableClock
) -> None:
    other = str(uuid4())
    keep_tenant(predecessor, "old@example.org", other)
    keep_user(predecessor, "ancient", other)
    rename_keys(predecessor, "jincor_auth_")
    keep_tenant(predecessor)
    keep_user(predecessor, "recent")
    for prefix in ("auth_", "jincor_auth_"):
        bring_in(settings, predecessor, clock=clock, prefix=prefix)
    clock.turn(seconds=3_600)
    for prefix in ("auth_", "jincor_auth_"):
        assert found(bring_in(settings, predecessor, clock=clock, prefix=prefix, catch_up=True)) == {}
    assert user(settings, "recent")
    assert user(settings, "ancient", other)
    # A user that is gone at its own source is removed by a catch-up with that source.
    predecessor.redis.delete(f"jincor_auth_{other}:ancient")
    assert found(bring_in(settings, predecessor, clock=clock, prefix="auth_", catch_up=True)) == {}
    report = bring_in(settings, predecessor, clock=clock, prefix="jincor_auth_", catch_up=True)
    assert found(report) == {FindingKind.GONE: ["ancient"]}


def test_C2_records_of_old_versions_have_no_dates_and_the_tenant_in_the_login(
    settings: Settings, predecessor: Predecessor, clock: TurnableClock
) -> None:
    def keep_old(login: str, **more: Any) -> str:
        whole = f"{SHOP}:{login}"
        return keep_user(predecessor, login, login=whole, registrationDate=..., lastActivity=..., **more)

    keep_tenant(predecessor)
    keep_old("ann@example.org")
    keep_old("bob@example.org")
    rename_keys(predecessor, "jincor_auth_")
    bring_in(settings, predecessor, clock=clock)
    ann = user(settings, "ann@example.org")
    assert ann
    assert (ann.registration_date, ann.last_activity) == (0, 0)
    with_stores(settings, lambda stores: stores.accounts.delete_user(SHOP, ann.id))
    clock.turn(seconds=3_600)
    keep_old("carol@example.org")
    rename_keys(predecessor, "jincor_auth_")
    report = bring_in(settings, predecessor, clock=clock, catch_up=True)
    # New users are found without a date to go by, and one that was deleted here stays deleted.
    assert found(report) == {FindingKind.HELD_BACK: ["ann@example.org"]}
    assert [bool(user(settings, f"{name}@example.org")) for name in ("ann", "bob", "carol")] == [False, True, True]
