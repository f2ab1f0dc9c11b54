"""Every method of the Python client, against a live service, synchronous and asynchronous."""

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import pytest

from client.conftest import Connect
from client.scripted_server import BreakOff, Say, stubborn
from doorward_client import (
    Claims,
    Doorward,
    ImportUser,
    IncorrectCredentials,
    IncorrectPassword,
    InvalidRefreshToken,
    InvalidResetCode,
    KeyNotFound,
    LoginExists,
    LoginFailed,
    LoginNotFound,
    NotAuthorized,
    PermissionDenied,
    SessionNotFound,
    TenantExists,
    Unavailable,
    UserDisabled,
    UserId,
    UserNotFound,
    ValidationFailed,
)
from harness import PASSWORD, Service, Tenant

ALICE = ("alice", "alice@example.org", "pw", "customer-17")


@pytest.fixture
def alice(doorward: Doorward) -> str:
    """A token of Alice on her laptop."""
    doorward.users.create(*ALICE, scope=["orders:read"])
    return doorward.login("alice", "pw", "laptop").access_token


def test_a_live_token_is_its_user_until_it_is_logged_out(doorward: Doorward, alice: str, tenant: Tenant) -> None:
    claims = doorward.verify(alice)
    assert isinstance(claims, Claims)
    assert (claims.login, claims.sub, claims.device_id, claims.tenant) == ("alice", "customer-17", "laptop", tenant.id)
    assert claims.scope == ["orders:read"]
    assert claims.exp > claims.iat
    assert doorward.logout(alice) is True
    assert doorward.verify(alice) is None
    assert doorward.logout(alice) is False


@pytest.mark.parametrize("token", ["", " ", "a", "a.b.c", "x" * 9000, "x" * 2_000_000, "ü", "\ud800", "a\nb", "\x00"])
def test_no_text_that_is_no_live_token_raises_anything(doorward: Doorward, token: str) -> None:
    assert doorward.verify(token) is None
    assert doorward.tenant.verify(token) is None
    assert doorward.verify_batch([token]) == [None]
    assert doorward.introspect(token).active is False
    doorward.revoke(token)


def test_a_token_of_another_tenant_is_dead(
    doorward: Doorward, alice: str, connect: Connect, shared: Service, other: Tenant
) -> None:
    stranger = connect(shared.url, token=other.token)
    assert stranger.verify(alice) is None
    assert stranger.introspect(alice).active is False
    assert doorward.verify(alice) is not None


def test_many_tokens_are_asked_about_at_once_in_their_order(doorward: Doorward, alice: str) -> None:
    bob = doorward.users.create("bob", "bob@example.org", "pw", "customer-18")
    token = doorward.login("bob", "pw", "laptop").access_token
    asked = [alice, "dead", token, "", alice, *[f"dead-{number}" for number in range(1200)]]
    found = doorward.verify_batch(asked)
    assert [claims and claims.login for claims in found] == ["alice", None, "bob", None, "alice", *[None] * 1200]
    assert found[2]
    assert found[2].id == bob.id
    assert doorward.verify_batch([]) == []


def test_tokens_of_the_greatest_length_fit_into_their_questions(doorward: Doorward, alice: str) -> None:
    long = [f"{number:03}" + "x" * 8189 for number in range(300)]
    assert [bool(claims) for claims in doorward.verify_batch([*long, alice])] == [*[False] * 300, True]


def test_a_session_is_renewed_and_a_spent_refresh_token_ends_it(doorward: Doorward, alice: str) -> None:
    first = doorward.login(
        "alice", "pw", "phone", refresh=True, ip="192.0.2.7", user_agent="Telephone/1", known_token=alice
    )
    assert first.refresh_token
    second = doorward.refresh(first.refresh_token)
    assert second.refresh_token
    assert second.expires_in > 0
    assert doorward.verify(second.access_token)
    third = doorward.refresh(second.refresh_token)
    with pytest.raises(InvalidRefreshToken):
        doorward.refresh(first.refresh_token)
    assert doorward.verify(third.access_token) is None
    assert doorward.verify(alice)


def test_a_failed_login_says_why_and_has_one_base(doorward: Doorward, alice: str) -> None:
    with pytest.raises(IncorrectPassword):
        doorward.login("alice", "wrong", "laptop")
    with pytest.raises(UserNotFound) as refused:
        doorward.login("nobody", "pw", "laptop")
    assert isinstance(refused.value, LoginFailed)
    assert (refused.value.status, refused.value.code) == (404, "user_not_found")
    assert refused.value.request_id
    doorward.users.patch("alice", disabled=True)
    assert doorward.verify(alice) is None
    with pytest.raises(UserDisabled):
        doorward.login("alice", "pw", "laptop")


def test_the_standards_are_asked_too(doorward: Doorward, alice: str) -> None:
    found = doorward.introspect(alice, hint="access_token")
    assert found.active
    assert (found.username, found.sub, found.device_id, found.scope_data) == (
        "alice",
        "customer-17",
        "laptop",
        ["orders:read"],
    )
    doorward.revoke(alice, hint="access_token")
    assert doorward.introspect(alice).active is False
    assert doorward.verify(alice) is None


def test_users_are_created_shown_changed_and_removed(doorward: Doorward, tenant: Tenant) -> None:
    made = doorward.users.create(*ALICE, company="Example Ltd", scope=None, metadata={"vip": True})
    assert made == doorward.users.get("ALICE")
    assert (made.login, made.company, made.scope, made.metadata, made.tenant) == (
        "alice",
        "Example Ltd",
        None,
        {"vip": True},
        tenant.id,
    )
    with pytest.raises(LoginExists):
        doorward.users.create(*ALICE)
    changed = doorward.users.patch("alice", email="a@localhost", company=None, metadata=None, scope="admin", sub="s")
    assert (changed.id, changed.email, changed.company, changed.metadata, changed.scope) == (
        made.id,
        "a@localhost",
        None,
        None,
        "admin",
    )
    doorward.users.patch("alice", password="another")
    doorward.login("alice", "another", "laptop")
    replaced = doorward.users.put("alice", "b@localhost", "pw", "customer-17")
    assert (replaced.user.id, replaced.created) == (made.id, False)
    assert doorward.users.put("bob", "b@localhost", "pw", "customer-18").created
    doorward.users.delete("alice")
    for gone in (doorward.users.get, doorward.users.delete, doorward.users.reset_code, doorward.sessions.list):
        with pytest.raises(LoginNotFound):
            gone("alice")


HASH = "pbkdf2_sha256$1000$cLPlMZ4ulBcRV6kW60irsd$BHcut5T+k2UPooTdCVnLuiCD0cWYHJG/Ic5IUIkesTY="
HASHED = "correct horse battery staple"


def test_C4_users_are_created_and_changed_with_hashes_that_were_made_elsewhere(doorward: Doorward) -> None:
    doorward.users.create("post", "a@localhost", None, "s", password_hash=HASH)
    doorward.users.put("put", "a@localhost", None, "s", password_hash=HASH)
    doorward.users.create("patch", "a@localhost", "old", "s")
    doorward.users.patch("patch", password_hash=HASH)
    for login in ("post", "put", "patch"):
        doorward.login(login, HASHED, "laptop")
        with pytest.raises(IncorrectPassword):
            doorward.login(login, HASH, "laptop")
    with pytest.raises(ValidationFailed, match="passwordHash"):
        doorward.users.create("both", "a@localhost", "pw", "s", password_hash=HASH)
    with pytest.raises(ValidationFailed, match="password"):
        doorward.users.put("neither", "a@localhost", None, "s")
    event = next(doorward.audit(limit=1))
    assert (event.action, event.detail) == ("user.login", None)
    assert [event.detail for event in doorward.audit() if event.action == "user.password"] == ["hash"]


def test_C4_a_tenant_chooses_how_bcrypt_strings_of_new_users_are_read(doorward: Doorward) -> None:
    string = "$2b$04$d3l/URSb2YNzoQLFtZP47O0bhHp17oHyMjgL5OJrnBARYuPJobDS6"
    assert doorward.tenant.get().settings.ready_hashes is False
    doorward.users.create("string", "a@localhost", string, "s")
    doorward.login("string", string, "laptop")
    assert doorward.tenant.settings(ready_hashes=True).settings.ready_hashes is True
    doorward.users.create("hash", "a@localhost", string, "s")
    doorward.login("hash", "pw", "laptop")
    assert doorward.tenant.settings(ready_hashes=None).settings.ready_hashes is False


def test_F14_a_tenant_says_and_sees_whose_address_is_verified(doorward: Doorward) -> None:
    assert doorward.users.create("alice", "a@localhost", "pw", "s", email_verified=True).email_verified is True
    assert doorward.users.create("bob", "b@localhost", "pw", "s").email_verified is False
    assert doorward.users.put("alice", "a@localhost", "pw", "s").user.email_verified is True
    assert doorward.users.patch("alice", email="new@localhost").email_verified is False
    assert doorward.users.patch("alice", email_verified=True).email_verified is True
    assert [user.email_verified for user in doorward.users.export_users()] == [True, False]


@pytest.mark.parametrize(
    ("unconfirmed", "status", "disabled"),
    [("disable", "created", True), ("admit", "created", False), ("skip", "skipped", None)],
)
def test_F14_users_whose_address_was_never_verified_come_in_as_the_tenant_says(
    doorward: Doorward, unconfirmed: Any, status: str, *, disabled: bool | None
) -> None:
    users = [
        ImportUser("never", "n@localhost", "s", password_hash=HASH, email_verified=False),
        ImportUser("verified", "v@localhost", "s", password_hash=HASH, email_verified=True),
        ImportUser("unknown", "u@localhost", "s", password_hash=HASH),
    ]
    report = doorward.users.import_users(users, unconfirmed=unconfirmed)
    assert [(one.status, one.unconfirmed) for one in report.results] == [
        (status, True),
        ("created", False),
        ("created", False),
    ]
    assert (report.unconfirmed, report.skipped) == (1, int(status == "skipped"))
    found = {user.login: (user.disabled, user.email_verified) for user in doorward.users.iterate()}
    assert found.pop("never", (None, False)) == (disabled, False)
    assert found == {"verified": (False, True), "unknown": (False, False)}


def test_F7_an_import_says_whose_login_is_in_the_way(doorward: Doorward) -> None:
    report = doorward.users.import_users([ImportUser("Bob", "b@localhost", "1"), ImportUser("bob", "b@localhost", "2")])
    assert [(one.login, one.status, one.code, one.taken_by) for one in report.results] == [
        ("Bob", "created", None, None),
        ("bob", "refused", "login_taken", "Bob"),
    ]


@pytest.mark.parametrize("login", ["a/b", "a b", "ü?#", "%2ea", "...", "tenant:x", "a\\b", "+", "a;b=c"])
def test_any_login_is_one_segment_of_a_path(doorward: Doorward, login: str) -> None:
    made = doorward.users.create(login, "a@localhost", "pw", "s")
    assert doorward.users.get(login) == made
    assert doorward.sessions.list(login) == ()
    doorward.users.delete(login)
    with pytest.raises(LoginNotFound):
        doorward.users.get(login)


@pytest.mark.parametrize("hostile", ["", ".", "..", "\ud800"])
def test_what_would_name_another_path_never_leaves(doorward: Doorward, alice: str, hostile: str) -> None:
    with pytest.raises(ValidationFailed):
        doorward.sessions.end("alice", hostile)
    with pytest.raises(ValidationFailed):
        doorward.users.delete(hostile)
    with pytest.raises(ValidationFailed):
        doorward.keys.revoke(hostile)
    assert doorward.users.get("alice").login == "alice"
    assert doorward.verify(alice)


def test_N6_users_are_found_and_renamed(doorward: Doorward) -> None:
    made = [doorward.users.create(f"user-{n}", "Family@example.org", "pw", "family") for n in range(5)]
    doorward.users.create("other", "other@example.org", "pw", "other")
    assert list(doorward.users.find(email="family@EXAMPLE.org", limit=2)) == made
    assert list(doorward.users.find(sub="family", limit=2)) == made
    assert list(doorward.users.find(sub="Family")) == []
    assert doorward.users.page(email="other@example.org").users[0].login == "other"
    for email, sub in ((None, None), ("a@b", "s")):
        with pytest.raises(ValueError, match="either email or sub"):
            list(doorward.users.find(email=email, sub=sub))
    with pytest.raises(ValidationFailed):
        list(doorward.users.find(email=""))

    session = doorward.login("other", "pw", "laptop")
    renamed = doorward.users.patch("other", new_login="another")
    assert renamed.login == "another"
    assert doorward.verify(session.access_token) is None
    with pytest.raises(LoginNotFound):
        doorward.users.get("other")
    with pytest.raises(LoginExists):
        doorward.users.patch("another", new_login="USER-0")


def test_F32_an_id_is_taken_wherever_a_login_is(doorward: Doorward) -> None:
    made = doorward.users.create("sales/erin", "erin@example.org", "pw", "s")
    erin = UserId(made.id)
    assert doorward.users.get(erin) == made
    first, second = (doorward.login("sales/erin", "pw", device) for device in ("laptop", "phone"))
    for session in doorward.sessions.list(erin):
        if session.device_id == "laptop":
            doorward.sessions.end(erin, session.id)
    assert (doorward.verify(first.access_token), doorward.verify(second.access_token) is None) == (None, False)
    doorward.sessions.end_device(erin, "phone")
    assert doorward.sessions.list(erin) == ()
    doorward.sessions.end_user(erin)
    doorward.users.change_password(erin, "pw", "new")
    doorward.users.reset(doorward.users.reset_code(erin).code, "newer")
    doorward.users.unlock(erin)
    assert doorward.users.patch(erin, new_login="erin").login == "erin"
    doorward.users.delete(erin)
    for nobody in (erin, UserId("erin")):
        with pytest.raises(LoginNotFound):
            doorward.users.get(nobody)
    with pytest.raises(ValidationFailed):
        doorward.users.delete(UserId(".."))


def test_F32_put_says_that_it_takes_no_id(doorward: Doorward) -> None:
    made = doorward.users.create("erin", "erin@example.org", "pw", "s")
    wrong: Any = UserId(made.id)
    with pytest.raises(TypeError, match="takes a login and no UserId"):
        doorward.users.put(wrong, "erin@example.org", "pw", "s")


def test_F7_rows_of_the_http_api_are_imported_as_they_are(doorward: Doorward) -> None:
    rows: list[ImportUser | Mapping[str, Any]] = [
        {"login": "ann", "email": "a@localhost", "sub": "1", "passwordHash": HASH, "disabled": True},
        ImportUser("ben", "b@localhost", "2", password_hash=HASH),
        {"login": "cleo"},
    ]
    report = doorward.users.import_users(rows)
    assert [(one.login, one.status) for one in report.results[:2]] == [("ann", "created"), ("ben", "created")]
    assert report.results[2].code == "validation_error"
    assert {user.login: user.disabled for user in doorward.users.iterate()} == {"ann": True, "ben": False}


def test_all_users_come_page_by_page(doorward: Doorward) -> None:
    names = [f"user-{number:02}" for number in range(7)]
    for name in (*names, "other"):
        doorward.users.create(name, "a@localhost", "pw", name)
    assert [user.login for user in doorward.users.iterate(limit=3)] == ["other", *names]
    assert [user.login for user in doorward.users.search("ser-", limit=3)] == names
    page = doorward.users.page(limit=3)
    assert len(page.users) == 3
    assert doorward.users.page(page.next_cursor, limit=3).users[0].login == names[2]
    assert [user.login for user in doorward.users.search("ot")] == ["other"]
    with pytest.raises(ValidationFailed) as refused:
        list(doorward.users.search("a" * 121))
    assert [detail.path for detail in refused.value.details] == [("q",)]


def test_a_user_changes_its_password_and_keeps_one_session(doorward: Doorward, alice: str) -> None:
    phone = doorward.login("alice", "pw", "phone").access_token
    with pytest.raises(IncorrectPassword):
        doorward.users.change_password("alice", "wrong", "new")
    doorward.users.change_password("alice", "pw", "new", keep_token=alice)
    assert doorward.verify(alice)
    assert doorward.verify(phone) is None
    doorward.users.change_password("alice", "new", "newer")
    assert doorward.verify(alice) is None


def test_a_code_sets_a_password_once(doorward: Doorward, alice: str) -> None:
    code = doorward.users.reset_code("alice")
    assert code.expires_in > 0
    doorward.users.reset(code.code, "new")
    assert doorward.verify(alice) is None
    with pytest.raises(InvalidResetCode):
        doorward.users.reset(code.code, "newer")
    doorward.login("alice", "new", "laptop")


def test_sessions_are_listed_and_ended_one_by_one_and_all_together(doorward: Doorward, alice: str) -> None:
    phone = doorward.login("alice", "pw", "phone", ip="192.0.2.7", user_agent="Telephone/1").access_token
    tablet = doorward.login("alice", "pw", "tablet").access_token
    claims = doorward.verify(alice)
    assert claims
    found = {session.device_id: session for session in doorward.sessions.list("alice")}
    assert set(found) == {"laptop", "phone", "tablet"}
    assert (found["phone"].ip, found["phone"].user_agent) == ("192.0.2.7", "Telephone/1")
    doorward.sessions.end("alice", claims.jti)
    with pytest.raises(SessionNotFound):
        doorward.sessions.end("alice", claims.jti)
    assert [bool(one) for one in doorward.verify_batch([alice, phone, tablet])] == [False, True, True]
    doorward.sessions.end_device("alice", "phone")
    assert [bool(one) for one in doorward.verify_batch([phone, tablet])] == [False, True]
    doorward.sessions.end_user("alice")
    assert doorward.sessions.list("alice") == ()


def test_everybodys_sessions_end_and_the_tenants_own_if_it_likes(doorward: Doorward, alice: str) -> None:
    doorward.sessions.end_everybody()
    assert doorward.verify(alice) is None
    doorward.sessions.end_everybody(own=True)
    with pytest.raises(NotAuthorized):
        doorward.verify(alice)


def test_a_tenant_comes_chooses_and_goes(connect: Connect, shared: Service) -> None:
    stranger = connect(shared.url)
    email = f"{uuid4().hex}@example.org"
    registered = stranger.tenant.register(email, PASSWORD)
    assert registered.login == f"tenant:{email}"
    with pytest.raises(TenantExists):
        stranger.tenant.register(email, PASSWORD)
    with pytest.raises(IncorrectCredentials):
        stranger.tenant.login(email, "Wrong-Horse-9")
    token = stranger.tenant.login(email, PASSWORD)
    claims = stranger.tenant.verify(token)
    assert claims
    assert (claims.id, claims.login) == (registered.id, registered.login)
    doorward = connect(shared.url, token=token)
    assert doorward.verify(token) is None
    assert doorward.tenant.get().settings.session_idle is None
    chosen = doorward.tenant.settings(session_idle=60, password_policy={"min_length": 9}).settings
    assert (chosen.session_idle, chosen.password_policy.min_length) == (60, 9)
    policy = doorward.tenant.settings(password_policy="recommended").settings.password_policy
    assert (policy.min_length, policy.require_classes, policy.block_common) == (15, False, True)
    other = stranger.tenant.register(f"{uuid4().hex}@example.org", PASSWORD, password_policy="recommended")
    assert connect(shared.url, token=other.token).tenant.get().settings.password_policy == policy
    assert doorward.tenant.settings(session_idle=None).settings.session_idle is None
    with pytest.raises(ValidationFailed, match="password"):
        doorward.users.create(*ALICE)
    doorward.tenant.change_password(PASSWORD, "Battery-Staple-7")
    assert stranger.tenant.verify(registered.token) is None
    assert stranger.tenant.logout(token) is True
    assert stranger.tenant.logout(token) is False
    doorward = connect(shared.url, token=stranger.tenant.login(email, "Battery-Staple-7"))
    with pytest.raises(IncorrectPassword):
        doorward.tenant.delete("Wrong-Horse-9")
    doorward.tenant.delete("Battery-Staple-7")
    with pytest.raises(IncorrectCredentials):
        stranger.tenant.login(email, "Battery-Staple-7")


def test_a_key_that_may_ask_can_do_nothing_else(
    connect: Connect, doorward: Doorward, shared: Service, alice: str
) -> None:
    made = doorward.keys.create("gateway", ["verify"], expires_at=4_000_000_000_000)
    gateway = connect(shared.url, key=made.key)
    assert gateway.verify(alice)
    assert gateway.introspect(alice).active
    with pytest.raises(PermissionDenied):
        gateway.users.get("alice")
    with pytest.raises(PermissionDenied):
        gateway.revoke(alice)
    [listed] = doorward.keys.list()
    assert (listed.id, listed.name, listed.permissions, listed.expires_at) == (
        made.id,
        "gateway",
        ("verify",),
        4_000_000_000_000,
    )
    doorward.keys.revoke(made.id)
    for refused in (gateway.verify, gateway.introspect, lambda token: gateway.verify_batch([token])):
        with pytest.raises(NotAuthorized):
            refused(alice)
    with pytest.raises(KeyNotFound):
        doorward.keys.revoke(made.id)


def test_a_tenant_reads_what_happened_page_by_page(doorward: Doorward, alice: str) -> None:
    doorward.logout(alice)
    events = list(doorward.audit(limit=2))
    assert [event.at for event in events] == sorted((event.at for event in events), reverse=True)
    assert all(event.action and event.outcome and event.actor for event in events)
    # Registered, a user created, logged in, logged out: more than one page.
    assert len(events) >= 4
    assert events != [events[0]] * len(events)


def test_health_is_asked_without_a_credential(connect: Connect, shared: Service) -> None:
    doorward = connect(shared.url + "/")
    assert doorward.live() is True
    found = doorward.health()
    assert found.ready
    assert set(found.stores.values()) == {"ok"}


def test_a_service_that_is_not_ready_says_which_store_is_away(connect: Connect) -> None:
    with stubborn(Say(503, {"status": "unready", "stores": {"database": "away"}}, {"Retry-After": "1"})) as server:
        found = connect(server.url).health()
        assert not found.ready
        assert found.stores == {"database": "away"}


IMPORTED: dict[str, Any] = {
    "created": 1,
    "refused": 1,
    "results": [
        {"login": "alice", "status": "created"},
        {"login": "", "status": "refused", "code": "validation_error", "error": "no"},
    ],
}


def test_users_are_brought_in_as_the_contract_has_it(connect: Connect) -> None:
    with stubborn(Say(200, IMPORTED)) as server:
        users = [
            ImportUser("alice", "a@localhost", "s", password_hash="$2b$10$secret", scope=[1]),
            ImportUser("", "", ""),
        ]
        report = connect(server.url, key="dw_k").users.import_users(users, dry_run=True)
        assert (report.created, report.refused) == (1, 1)
        assert [(one.login, one.status, one.code) for one in report.results] == [
            ("alice", "created", None),
            ("", "refused", "validation_error"),
        ]
        [seen] = server.seen
        assert (seen.method, seen.path) == ("POST", "/users/import?dryRun=true")
        assert seen.body == (
            b'{"users": [{"login": "alice", "email": "a@localhost", "sub": "s", "passwordHash": "$2b$10$secret", '
            b'"scope": [1]}, {"login": "", "email": "", "sub": ""}]}'
        )
        assert "secret" not in repr(users)


def test_an_export_streams_users_whatever_is_in_their_names(connect: Connect) -> None:
    lines = (
        '{"login":"a\u2028b\x85","email":"a@localhost","sub":"s","scope":null}\n\n'
        '{"login":"bob","email":"b@localhost","sub":"s","disabled":true,"passwordHash":"$2b$","later":1}'
    )
    with stubborn(Say(200, lines.encode())) as server:
        users = list(connect(server.url, key="dw_k").users.export_users(hashes=True))
        assert [(user.login, user.disabled, user.password_hash) for user in users] == [
            ("a\u2028b\x85", False, None),
            ("bob", True, "$2b$"),
        ]
        assert server.seen[0].path == "/users/export?hashes=true"


def test_an_export_that_breaks_off_is_no_export(connect: Connect) -> None:
    with stubborn(BreakOff(b'{"login":"bob","email":"b@localhost","sub":"s"}\n')) as server:
        users = connect(server.url, key="dw_k").users.export_users()
        assert next(users).login == "bob"
        with pytest.raises(Unavailable):
            next(users)


def test_a_refused_export_says_why(connect: Connect) -> None:
    refusal = {"error": "Not Authorized", "code": "not_authorized", "status": 401}
    with stubborn(Say(401, refusal, {"WWW-Authenticate": "Bearer"})) as server, pytest.raises(NotAuthorized):
        list(connect(server.url, key="dw_k").users.export_users())
