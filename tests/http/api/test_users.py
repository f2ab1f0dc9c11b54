"""`/user`: create, list, search and delete users."""

import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from api_contract import UUID, assert_refused, assert_unauthorised, faults, fresh, logins, wide
from harness import Service, Tenant, TurnableClock, read_settings, running

GONE = (404, "login_not_found", "Specified login does not exist or was already deleted.")
TAKEN = (409, "login_exists", "This login already exists")
SHOWN = {"id", "login", "email", "tenant", "sub", "registrationDate", "lastActivity"}


def test_a_new_user_is_shown_with_all_its_fields(tenant: Tenant) -> None:
    before = int(time.time() * 1000)
    answer = tenant.create(
        "Alice", "pw", email="a@localhost", sub="customer-17", company="Shop", scope={"role": [1, None]}
    )
    assert answer.status_code == 200
    user = answer.json()
    assert set(user) == SHOWN | {"company", "scope"}
    assert UUID.fullmatch(user["id"])
    assert user["tenant"] == tenant.id
    assert (user["login"], user["email"], user["sub"]) == ("Alice", "a@localhost", "customer-17")
    assert (user["company"], user["scope"]) == ("Shop", {"role": [1, None]})
    assert before <= user["registrationDate"] <= int(time.time() * 1000)
    assert user["lastActivity"] == user["registrationDate"]
    assert isinstance(user["registrationDate"], int)
    assert tenant.get("/user").json() == {"users": [user], "nextCursor": "0"}


def test_company_and_scope_are_absent_unless_they_were_given(tenant: Tenant) -> None:
    user = tenant.create().json()
    assert set(user) == SHOWN
    assert tenant.get("/user").json()["users"] == [user]


@pytest.mark.one_setup
def test_a_company_of_null_is_no_text(tenant: Tenant) -> None:
    assert faults(tenant.create(company=None)) == ['"company" must be a string']
    assert faults(tenant.create(company="")) == ['"company" is not allowed to be empty']


@pytest.mark.parametrize(
    "scope",
    [None, True, False, 0, -1.5, "", "admin", [], ["a", "b"], {}, {"a": {"b": [None, "ü\u0000"]}}, 10**30, 2**53 + 1],
)
def test_any_json_may_be_a_scope_and_comes_back_in_every_token(tenant: Tenant, scope: Any) -> None:
    user = tenant.create(scope=scope).json()
    assert user["scope"] == scope
    assert tenant.get("/user").json()["users"][0]["scope"] == scope
    assert tenant.verify(tenant.session()).json()["decoded"]["scope"] == scope


@pytest.mark.one_setup
def test_every_fault_of_a_users_body_is_listed_in_field_order(tenant: Tenant) -> None:
    assert faults(tenant.post("/user", {})) == [
        '"login" is required',
        '"email" is required',
        '"password" is required',
        '"sub" is required',
    ]
    body = {
        "scope": [[[[[[[[[]]]]]]]]],
        "company": 1,
        "sub": "",
        "password": [],
        "email": "test.test.com",
        "login": "a\u0000",
    }
    assert faults(tenant.post("/user", body)) == [
        '"login" must not contain invisible characters',
        '"email" must be a valid email',
        '"password" must be a string',
        '"sub" is not allowed to be empty',
        '"company" must be a string',
        '"scope" must not nest deeper than 8 levels',
    ]
    assert logins(tenant) == []


@pytest.mark.one_setup
def test_who_is_no_tenant_learns_nothing_about_its_body(tenant: Tenant) -> None:
    for body in (b"", b"{", b"{}", b"[]", b'{"login":1}'):
        answer = tenant.http.post("/user", content=body, headers={"Content-Type": "application/json"})
        assert_unauthorised(answer)


def test_a_login_exists_once_whatever_its_case_or_width(tenant: Tenant) -> None:
    tenant.create("Straße", "first")
    for variant in ("Straße", "STRASSE", "strasse", wide("strasse")):
        assert_refused(tenant.create(variant, "second"), *TAKEN)
    assert logins(tenant) == ["Straße"]
    assert tenant.login("STRASSE", "first").status_code == 200
    assert tenant.login("Straße", "second").status_code == 403
    tenant.delete(wide("STRASSE"))
    assert logins(tenant) == []


def test_users_of_one_tenant_may_share_an_email(tenant: Tenant) -> None:
    for login in ("one", "two"):
        assert tenant.create(login, email="family@example.org").status_code == 200


@pytest.mark.one_setup
@pytest.mark.parametrize("password", ["x", " ", "a", "1", "\u0000", "\U0001f600" * 256, "pässwörd", "p" * 256])
def test_a_users_password_may_be_anything_but_empty(tenant: Tenant, password: str) -> None:
    assert tenant.create("alice", password).status_code == 200
    assert tenant.login("alice", password).status_code == 200
    assert tenant.login("alice", password + "!").status_code in {403, 422}


@pytest.mark.one_setup
def test_PW7_a_password_is_refused_for_its_length_and_never_cut(tenant: Tenant) -> None:
    too_long = '"password" length must be less than or equal to 256 characters long'
    assert faults(tenant.create("alice", "")) == ['"password" is not allowed to be empty']
    assert faults(tenant.create("alice", "p" * 257)) == [too_long]
    assert faults(tenant.login("alice", "p" * 257)) == [too_long]
    assert_refused(tenant.create("alice", "p" * 1_000_000), 413, "payload_too_large", "The body is too large")
    assert_refused(tenant.login("alice", "p" * 1_000_000), 413, "payload_too_large", "The body is too large")
    assert logins(tenant) == []


def test_a_deleted_user_is_gone_with_its_sessions(tenant: Tenant) -> None:
    tenant.create("alice", "pw")
    tokens = [tenant.session("alice", "pw", device) for device in ("laptop", "phone")]
    answer = tenant.delete("alice")
    assert (answer.status_code, answer.json()) == (200, {"result": 1})
    assert [tenant.verify(token).status_code for token in tokens] == [400, 400]
    assert_refused(tenant.login("alice", "pw"), 404, "user_not_found", "User does not exist")
    assert_refused(tenant.delete("alice"), *GONE)
    assert logins(tenant) == []


def test_a_login_that_is_created_anew_is_somebody_else(tenant: Tenant) -> None:
    first = tenant.create("alice", "old").json()
    token = tenant.session("alice", "old")
    tenant.delete("alice")
    second = tenant.create("alice", "new").json()
    assert second["id"] != first["id"]
    assert tenant.verify(token).status_code == 400
    assert tenant.login("alice", "old").status_code == 403
    assert tenant.verify(tenant.session("alice", "new")).json()["decoded"]["id"] == second["id"]


@pytest.mark.parametrize("login", ["nobody", "%", "*", "alice/../alice", "a b", "ü", "..", "."])
def test_deleting_a_login_that_is_not_there_says_so(tenant: Tenant, login: str) -> None:
    tenant.create("alice")
    url = tenant.http.base_url.copy_with(raw_path=b"/user/" + "".join(f"%{b:02x}" for b in login.encode()).encode())
    assert_refused(tenant.http.delete(url, headers=tenant.headers), *GONE)
    assert logins(tenant) == ["alice"]


@pytest.mark.parametrize("login", ["a/b", "a%b", "a b", "ü+?#&;=", "100%", "..b", "a\\b", "@", "日本語"])
def test_any_visible_login_can_be_kept_used_and_deleted(tenant: Tenant, login: str) -> None:
    assert tenant.create(login).json()["login"] == login
    assert tenant.verify(tenant.session(login)).json()["decoded"]["login"] == login
    url = tenant.http.base_url.copy_with(raw_path=b"/user/" + "".join(f"%{b:02x}" for b in login.encode()).encode())
    assert tenant.http.delete(url, headers=tenant.headers).json() == {"result": 1}
    assert logins(tenant) == []


@pytest.mark.one_setup
@pytest.mark.parametrize(
    "password",
    [
        "x" * 60,
        "correct horse battery staple, correct horse battery staple, ",
        "$2b$10$" + "a" * 52 + "!",
        "$2b$1$" + "a" * 54,
        "$2x$10$" + "a" * 53,
        "$2$10$" + "a" * 54,
        " $2b$10$" + "a" * 52,
        "$2b$10$" + "a" * 52,
        "$2b$10$" + "a" * 54,
        "$2b$10$" + "a" * 53 + "\n",
        "$2a$10$BiO39ybNjFS1P5m7fL9/ZuWw5pgADUVO3Yw21rWAdeHXxCKqxb/o6",
        "$2b$00$" + "a" * 53,
        "$2y$31$" + "a" * 53,
        "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$aGFzaGhhc2g",
    ],
)
def test_PW3_any_string_is_a_password_whatever_its_length_and_form(tenant: Tenant, password: str) -> None:
    assert tenant.create("alice", password).status_code == 200
    assert tenant.login("alice", password).status_code == 200
    assert tenant.login("alice", password + "!").status_code == 403


def test_a_list_is_in_the_order_of_logins_page_by_page(tenant: Tenant) -> None:
    names = ["Zoe", "ada", "Bob", "bobby", "émile", "10", "9"]
    for name in names:
        tenant.create(name)
    in_order = ["10", "9", "ada", "Bob", "bobby", "Zoe", "émile"]
    assert logins(tenant) == in_order
    for limit in (1, 2, 3, 7, 500):
        assert logins(tenant, limit=limit) == in_order
    first = tenant.get("/user", limit=3).json()
    assert len(first["users"]) == 3
    assert first["nextCursor"] not in {"0", ""}
    assert tenant.get("/user", limit=7).json()["nextCursor"] == "0"


def test_a_list_without_a_limit_has_a_hundred(tenant: Tenant) -> None:
    for number in range(101):
        tenant.create(f"user-{number:03}")
    page = tenant.get("/user").json()
    assert len(page["users"]) == 100
    rest = tenant.get("/user", cursor=page["nextCursor"]).json()
    assert ([user["login"] for user in rest["users"]], rest["nextCursor"]) == (["user-100"], "0")


def test_a_page_that_begins_after_a_deleted_user_misses_nobody(tenant: Tenant) -> None:
    for name in ("a", "b", "c", "d"):
        tenant.create(name)
    cursor = tenant.get("/user", limit=2).json()["nextCursor"]
    tenant.delete("b")
    assert [user["login"] for user in tenant.get("/user", cursor=cursor).json()["users"]] == ["c", "d"]


def test_a_search_finds_part_of_a_login_in_any_case_and_width(tenant: Tenant) -> None:
    for name in ("Annabel", "hannah", "bob", "Straße"):
        tenant.create(name)
    assert logins(tenant, q="ann") == ["Annabel", "hannah"]
    assert logins(tenant, q="ANN") == ["Annabel", "hannah"]
    assert logins(tenant, q=wide("ann")) == ["Annabel", "hannah"]
    assert logins(tenant, q="ann", limit=1) == ["Annabel", "hannah"]
    assert logins(tenant, q="STRASS") == ["Straße"]
    assert logins(tenant, q="nobody") == []


def test_F31_one_or_two_characters_find_the_logins_that_begin_with_them(tenant: Tenant) -> None:
    names = [
        "al",
        "Alan",
        "ALBERT",
        "bal",
        "a",
        "李明",
        "王李明",
        "李",
        "𠮷野",
        "𠮷",
        "😀x",
        "Éa",
        "ｂb",
        "a_b",
        "a%",
        "𠮶",
    ]
    for name in names:
        assert tenant.create(name).status_code == 200
    for q, expected in (
        ("al", ["al", "Alan", "ALBERT"]),
        ("AL", ["al", "Alan", "ALBERT"]),
        ("a", ["a", "a%", "a_b", "al", "Alan", "ALBERT"]),
        ("李明", ["李明"]),
        ("李", ["李", "李明"]),
        ("𠮷", ["𠮷", "𠮷野"]),
        ("𠮷野", ["𠮷野"]),
        ("😀", ["😀x"]),
        ("e\u0301", ["Éa"]),
        ("b", ["bal", "ｂb"]),
        ("_", []),
        ("a_", ["a_b"]),
        ("a%", ["a%"]),
        ("明", []),
        ("z", []),
        ("ﬀ", []),
        # The canonical form of this one has three characters.
        ("㎑", []),
    ):
        for limit in (1, 2, 100):
            assert logins(tenant, q=q, limit=limit) == expected, q


@pytest.mark.one_setup
@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"q": ""}, ['"q" length must be from 1 to 120 characters']),
        ({"q": "a" * 121}, ['"q" length must be from 1 to 120 characters']),
        ({"limit": "0"}, ['"limit" must be a whole number from 1 to 500']),
        ({"limit": "501"}, ['"limit" must be a whole number from 1 to 500']),
        ({"limit": "-1"}, ['"limit" must be a whole number from 1 to 500']),
        ({"limit": "1.0"}, ['"limit" must be a whole number from 1 to 500']),
        ({"limit": "1e2"}, ['"limit" must be a whole number from 1 to 500']),
        ({"limit": "٣"}, ['"limit" must be a whole number from 1 to 500']),
        ({"limit": ""}, ['"limit" must be a whole number from 1 to 500']),
        ({"limit": "9" * 5000}, ['"limit" must be a whole number from 1 to 500']),
        ({"cursor": "!"}, ['"cursor" must be a cursor given by this list']),
        ({"cursor": ""}, ['"cursor" must be a cursor given by this list']),
        ({"cursor": "YQ=="}, ['"cursor" must be a cursor given by this list']),
        ({"cursor": "YR"}, ['"cursor" must be a cursor given by this list']),
        ({"cursor": "gA"}, ['"cursor" must be a cursor given by this list']),
        ({"cursor": "AA"}, ['"cursor" must be a cursor given by this list']),
        ({"cursor": "ü"}, ['"cursor" must be a cursor given by this list']),
        ({"cursor": "a" * 2049}, ['"cursor" is too long']),
        (
            {"limit": "x", "cursor": "a" * 2049, "q": "a" * 121},
            [
                '"q" length must be from 1 to 120 characters',
                '"cursor" is too long',
                '"limit" must be a whole number from 1 to 500',
            ],
        ),
    ],
)
def test_what_is_wrong_with_a_query_is_said(tenant: Tenant, query: dict[str, str], expected: list[str]) -> None:
    assert faults(tenant.get("/user", **query)) == expected


def test_queries_at_their_limits_are_taken(tenant: Tenant) -> None:
    for query in ({"q": "a"}, {"q": "abc"}, {"q": "a" * 120}, {"limit": "1"}, {"limit": "500"}, {"cursor": "0"}):
        assert tenant.get("/user", **query).json() == {"users": [], "nextCursor": "0"}


@pytest.mark.one_setup
@pytest.mark.parametrize("name", ["ﷺ" * 170, "㍿" * 170])
def test_IN5_a_name_is_measured_in_its_canonical_form_too(tenant: Tenant, name: str) -> None:
    message = "must not take more than 1024 bytes in its canonical form (NFKC, casefolded)"
    assert faults(tenant.create(name)) == [f'"login" {message}']
    answer = tenant.http.post("/tenant", json={"email": f"{name[:160]}@b.org", "password": tenant.password})
    assert faults(answer) == [f'"email" {message}']


@pytest.mark.parametrize("name", ["ﷺ" * 31, "\u0390" * 256, "İ" * 256, "ß" * 256, "\U0001f600" * 128])
def test_IN5_the_longest_names_break_no_list(tenant: Tenant, name: str) -> None:
    assert tenant.create(name).status_code == 200
    tenant.create("\U0001f9ff")
    assert logins(tenant, limit=1) == sorted([name, "\U0001f9ff"], key=lambda login: login.casefold().encode())


def test_last_activity_moves_when_a_token_is_verified(
    store: dict[str, str], tmp_path: Path, clock: TurnableClock
) -> None:
    settings = read_settings(tmp_path, store)
    with running(settings, clock) as service:
        tenant = fresh(service)
        created = tenant.create().json()
        token = tenant.session()
        clock.turn(seconds=3600)
        assert tenant.verify(token).status_code == 200
        seen = clock.now
    with running(settings, clock) as service:
        tenant.http = service.client()
        [user] = tenant.get("/user").json()["users"]
        assert user == {**created, "lastActivity": seen}


class TestReplacing:
    """`EXISTING_LOGIN=replace`: creating a login again sets its password, as the predecessor's clients do."""

    @pytest.fixture
    def service(self, store: dict[str, str], tmp_path: Path, clock: TurnableClock) -> Any:
        with running(read_settings(tmp_path, {**store, "EXISTING_LOGIN": "replace"}), clock) as service:
            yield service

    def test_the_user_keeps_its_id_and_takes_the_new_attributes(self, service: Service, clock: TurnableClock) -> None:
        tenant = fresh(service)
        first = tenant.create("Alice", "old", company="Shop", scope={"a": 1}).json()
        clock.turn(seconds=60)
        answer = tenant.create("ALICE", "new", sub="sub-2", email="new@example.org")
        assert answer.status_code == 200
        second = answer.json()
        assert (second["id"], second["registrationDate"]) == (first["id"], first["registrationDate"])
        assert (second["sub"], second["email"]) == ("sub-2", "new@example.org")
        assert set(second) == SHOWN
        assert tenant.get("/user").json()["users"] == [second]

    def test_all_sessions_end_and_only_the_new_password_counts(self, service: Service) -> None:
        tenant = fresh(service)
        tenant.create("alice", "old")
        tokens = [tenant.session("alice", "old", device) for device in ("laptop", "phone", "phone")]
        tenant.create("alice", "new")
        assert [tenant.verify(token).status_code for token in tokens] == [400, 400, 400]
        assert tenant.login("alice", "old").status_code == 403
        assert tenant.verify(tenant.session("alice", "new")).status_code == 200

    def test_nobody_else_is_touched(self, service: Service) -> None:
        tenant, other = fresh(service), fresh(service)
        for owner, login in ((tenant, "alice"), (tenant, "bob"), (other, "alice")):
            owner.create(login, "old")
        bystanders = [(tenant, tenant.session("bob", "old")), (other, other.session("alice", "old"))]
        tenant.create("alice", "new")
        for owner, token in bystanders:
            assert owner.verify(token).status_code == 200
        assert other.login("alice", "old").status_code == 200

    def test_who_was_locked_out_gets_in_with_the_password_that_its_tenant_set(self, service: Service) -> None:
        tenant = fresh(service)
        tenant.create("alice", "old")
        while tenant.login("alice", "wrong").status_code != 429:
            pass
        tenant.create("alice", "new")
        assert tenant.login("alice", "new").status_code == 200


def test_a_refused_creation_changes_nothing(tenant: Tenant) -> None:
    first = tenant.create("alice", "old", scope=1).json()
    token = tenant.session("alice", "old")
    assert_refused(tenant.create("ALICE", "new", sub="sub-2", scope=2), *TAKEN)
    assert tenant.get("/user").json()["users"] == [first]
    assert tenant.verify(token).status_code == 200
    assert tenant.login("alice", "new").status_code == 403


def answers_without_credential(tenant: Tenant) -> list[httpx.Response]:
    http = tenant.http
    return [http.get("/user"), http.delete("/user/alice"), http.get("/user?limit=x"), http.delete("/user/nobody")]


def test_without_a_credential_nothing_is_listed_or_deleted(tenant: Tenant) -> None:
    tenant.create("alice")
    for answer in answers_without_credential(tenant):
        assert_unauthorised(answer)
    assert logins(tenant) == ["alice"]
