"""Commands on tenants, users, sessions and API keys, while the service runs."""

import json
import re
from pathlib import Path
from typing import Any
from uuid import uuid4

import click
import pytest
from click.testing import Result

from doorward.cli import main
from harness import PASSWORD, Service, Tenant
from terminal import Operator

NEW = "Another-Horse-10"


def commands(group: click.Group = main, path: tuple[str, ...] = ()) -> dict[str, tuple[tuple[str, ...], click.Command]]:
    found = {}
    for name, command in group.commands.items():
        words = (*path, name)
        found[" ".join(words)] = (words, command)
        if isinstance(command, click.Group):
            found |= commands(command, words)
    return found


def fresh_email() -> str:
    return f"{uuid4().hex}@example.org"


@pytest.mark.parametrize("name", [name for name in commands() if name not in {"serve", "settings"}])
def test_the_help_of_every_command_has_an_example_that_is_one(name: str) -> None:
    words, command = commands()[name]
    assert command.help
    assert command.epilog
    examples = re.findall(r"(?:^|\| )\s*doorward (.*)$", command.epilog, re.MULTILINE)
    assert examples, name
    assert any(example.split()[: len(words)] == list(words) for example in examples), examples


def test_a_tenant_that_was_created_can_log_in(operator: Operator, shared: Service) -> None:
    address = fresh_email()
    answer = operator.do("tenant", "create", address, typed=PASSWORD + "\n")
    assert address in answer.stdout
    login = shared.client().post("/tenant/login", json={"email": address, "password": PASSWORD})
    assert login.status_code == 200
    [shown] = operator.read("tenant", "show", address)
    assert shown["email"] == address
    assert shown["disabled"] is False
    assert shown["id"] in {one["id"] for one in operator.read("tenant", "list")}
    assert [one["email"] for one in operator.read("tenant", "show", shown["id"])] == [address]


@pytest.mark.one_setup
@pytest.mark.parametrize(
    "address", ["sh\u034fop@example.org", "shop\u200b@example.org", "shop@example.org ", "a" * 245 + "@example.org"]
)
def test_IN5_F10_F11_a_tenant_gets_no_address_that_looks_like_another(operator: Operator, address: str) -> None:
    answer = operator.run("tenant", "create", address, typed=PASSWORD + "\n")
    assert answer.exit_code == 2
    assert "not an e-mail address" in answer.stderr


def test_N14_a_tenant_is_created_with_the_recommended_policy(operator: Operator) -> None:
    address = fresh_email()
    operator.do("tenant", "create", address, "--password-policy", "recommended", typed=PASSWORD + "\n")
    [shown] = operator.read("tenant", "show", address)
    assert json.loads(shown["settings"])["passwordPolicy"] == {"minLength": 15, "blockCommon": True}
    words = ("user", "create", "alice", "--tenant", address, "--email", "a@example.org", "--sub", "1")
    refused = operator.run(*words, typed="wonderland\n")
    assert (refused.exit_code, refused.stderr) == (1, '"password" length must be at least 15 characters long\n')
    assert operator.run("tenant", "create", fresh_email(), "--password-policy", "none").exit_code == 2


def audited(operator: Operator, tenant: Tenant) -> list[tuple[str, str]]:
    """Return what the tenant's audit trail says that was done and by whom, newest first."""
    return [(one["action"], one["actor"]) for one in operator.read("audit", "show", "--tenant", tenant.email)]


def test_N10_an_operator_issues_a_token_of_a_tenant_that_goes_on_with_its_others(
    operator: Operator, tenant: Tenant
) -> None:
    [issued] = operator.read("tenant", "token", tenant.email)
    assert issued["expires"] is None
    for token in (tenant.token, issued["token"]):
        found = tenant.http.get("/tenant", headers={"Authorization": f"Bearer {token}"})
        assert (found.status_code, found.json()["id"]) == (200, tenant.id)
    assert audited(operator, tenant)[0] == ("tenant.token", "operator")
    assert issued["token"] not in str(operator.read("audit", "show", "--tenant", tenant.email))
    operator.do("session", "revoke", "--tenant", tenant.email, "--yes")
    assert tenant.http.get("/tenant", headers={"Authorization": f"Bearer {issued['token']}"}).status_code == 401


def test_N10_a_token_of_a_tenant_lives_as_long_as_it_chose(operator: Operator, tenant: Tenant) -> None:
    answer = tenant.http.patch("/tenant", json={"settings": {"tenantSessionLifetime": 3600}}, headers=tenant.headers)
    assert answer.status_code == 200
    [issued] = operator.read("tenant", "token", tenant.id)
    verified = tenant.http.post("/tenant/verify", json={"token": issued["token"]}).json()["decoded"]
    assert verified["exp"] - verified["iat"] == 3600
    assert issued["expires"].endswith("Z")


def test_N10_a_disabled_tenant_gets_no_token(operator: Operator, tenant: Tenant) -> None:
    operator.do("tenant", "disable", tenant.email)
    answer = operator.run("tenant", "token", tenant.email)
    assert (answer.exit_code, answer.stdout, answer.stderr) == (
        1,
        "",
        f"{tenant.email} is disabled; enable it first.\n",
    )


def create(operator: Operator, tenant: Tenant, *more: str, login: str = "alice", typed: str = "wonderland\n") -> Result:
    words = ("user", "create", login, "--tenant", tenant.email, "--email", "alice@example.org", "--sub", "customer-17")
    return operator.run(*words, *more, typed=typed)


def test_N10_a_user_that_an_operator_creates_is_like_one_of_the_api(operator: Operator, tenant: Tenant) -> None:
    more = ("--company", "Example", "--scope", '["orders:read"]', "--metadata", '{"plan": "gold"}', "--email-verified")
    answer = create(operator, tenant, *more, "--json")
    assert answer.exit_code == 0, answer.output
    shown = tenant.get("/user/alice").json()
    assert shown["id"] == json.loads(answer.stdout)["id"]
    assert {name: shown[name] for name in ("email", "sub", "company", "scope", "metadata", "emailVerified")} == {
        "email": "alice@example.org",
        "sub": "customer-17",
        "company": "Example",
        "scope": ["orders:read"],
        "metadata": {"plan": "gold"},
        "emailVerified": True,
    }
    decoded = tenant.verify(tenant.session(password="wonderland")).json()["decoded"]
    assert decoded["scope"] == ["orders:read"]
    assert ("user.create", "operator") in audited(operator, tenant)
    again = create(operator, tenant, login="ALICE")
    assert (again.exit_code, again.stderr) == (1, "This login already exists\n")


def test_N10_a_scope_of_null_is_one(operator: Operator, tenant: Tenant) -> None:
    assert create(operator, tenant, "--scope", "null").exit_code == 0
    assert create(operator, tenant, login="bob").exit_code == 0
    assert tenant.get("/user/alice").json()["scope"] is None
    assert "scope" not in tenant.get("/user/bob").json()


UNFIT: dict[str, tuple[dict[str, Any], str]] = {
    "a login that is invisible": ({"login": "bo\u200bb"}, '"login" must not contain invisible characters'),
    "an address that is none": ({"more": ("--email", "nowhere")}, '"email" must be a valid email'),
    "a password that is too long": ({"typed": "x" * 257}, '"password" length must be less than or equal to 256'),
    "an empty sub": ({"more": ("--sub", "")}, '"sub" is not allowed to be empty'),
    "a scope that is too large": ({"more": ("--scope", f'"{"x" * 5000}"')}, '"scope" must not take more than'),
}


@pytest.mark.one_setup
@pytest.mark.parametrize("name", UNFIT)
def test_N10_a_user_is_held_against_the_rules_of_the_api(operator: Operator, tenant: Tenant, name: str) -> None:
    given, sentence = UNFIT[name]
    answer = create(operator, tenant, *given.get("more", ()), **{k: v for k, v in given.items() if k != "more"})
    assert (answer.exit_code, answer.stdout) == (1, "")
    assert answer.stderr.startswith(sentence)
    assert tenant.get("/user").json()["users"] == []


def test_N10_a_user_is_held_against_the_policy_of_the_tenant(operator: Operator, tenant: Tenant) -> None:
    policy = {"settings": {"passwordPolicy": {"minLength": 12}}}
    assert tenant.http.patch("/tenant", json=policy, headers=tenant.headers).status_code == 200
    answer = create(operator, tenant, typed="short-1\n")
    assert (answer.exit_code, answer.stderr) == (1, '"password" length must be at least 12 characters long\n')
    assert create(operator, tenant, typed=NEW + "\n").exit_code == 0


@pytest.mark.one_setup
@pytest.mark.parametrize("option", ["--scope", "--metadata"])
@pytest.mark.parametrize("text", ["orders:read", "{", '{"a":1,"a":2}', "NaN"])
def test_N10_what_is_no_JSON_is_a_wrong_use(operator: Operator, tenant: Tenant, option: str, text: str) -> None:
    answer = create(operator, tenant, option, text)
    assert answer.exit_code == 2
    assert "not valid JSON" in answer.stderr


def test_N10_an_api_key_that_an_operator_creates_is_shown_once_and_may_what_it_says(
    operator: Operator, tenant: Tenant
) -> None:
    tenant.create()
    session = tenant.session()
    words = ("apikey", "create", "gateway", "--tenant", tenant.email)
    [made] = operator.read(*words, "--permission", "verify", "--permission", "verify", "--expires", "90d")
    assert (made["name"], made["permissions"]) == ("gateway", "verify")
    assert made["expires"] > made["created"]
    with_key = {"Authorization": f"Bearer {made['key']}"}
    assert tenant.http.post("/auth/verify", json={"token": session}, headers=with_key).status_code == 200
    assert tenant.http.get("/user", headers=with_key).status_code == 403
    [listed] = operator.read("apikey", "list", "--tenant", tenant.email)
    assert listed["id"] == made["id"]
    assert made["key"] not in str(listed)
    assert ("key.create", "operator") in audited(operator, tenant)


EXPIRIES = {
    "2100-01-31": "2100-01-31T00:00:00Z",
    "2100-01-31T12:00:00Z": "2100-01-31T12:00:00Z",
    "2100-01-31T12:00+02:00": "2100-01-31T10:00:00Z",
}


@pytest.mark.parametrize("given", EXPIRIES)
def test_N10_an_api_key_expires_when_it_is_said(operator: Operator, tenant: Tenant, given: str) -> None:
    words = ("apikey", "create", "ci", "--tenant", tenant.id, "--permission", "users:read", "--expires", given)
    assert [one["expires"] for one in operator.read(*words)] == [EXPIRIES[given]]


@pytest.mark.one_setup
@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["ci", "--permission", "verify", "--expires", "2001-01-01"], 1, '"expiresAt" must lie in the future'),
        (["c\u200bi", "--permission", "verify"], 1, '"name" must not contain invisible characters'),
        (["ci", "--permission", "verify", "--expires", "soon"], 2, "a lifetime such as 90d"),
        (["ci", "--permission", "everything"], 2, "'everything' is not one of"),
        (["ci"], 2, "Missing option '--permission'"),
    ],
)
def test_N10_an_api_key_that_cannot_be_is_not_made(
    operator: Operator, tenant: Tenant, words: list[str], code: int, sentence: str
) -> None:
    answer = operator.run("apikey", "create", *words, "--tenant", tenant.email)
    assert (answer.exit_code, answer.stdout) == (code, "")
    assert sentence in answer.stderr
    assert operator.read("apikey", "list", "--tenant", tenant.email) == []


@pytest.mark.one_setup
@pytest.mark.parametrize("login", ["..", "%2e", "bob ", "bo\u034fb", "bob\u200d"], ids=ascii)
def test_IN5_F9_F10_F11_an_operator_gives_no_such_login(operator: Operator, tenant: Tenant, login: str) -> None:
    words = ("user", "create", login, "--tenant", tenant.email, "--email", "a@b", "--sub", "s")
    answer = operator.run(*words, typed="pw\n")
    assert answer.exit_code == 1
    assert answer.stderr.startswith('"login" must not ')
    assert operator.read("user", "list", "--tenant", tenant.email) == []


def test_S5_an_operator_creates_no_more_users_than_the_quota_allows(
    operator: Operator, tenant: Tenant, other: Tenant, tmp_path: Path
) -> None:
    assert tenant.create("alice").status_code == 200
    words = ("--email", "user@example.org", "--sub", "1")
    refused = operator.run(
        "user", "create", "bob", "--tenant", tenant.id, *words, typed="pw\n", MAX_USERS_PER_TENANT="1"
    )
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert "delete users" in refused.stderr
    operator.do("user", "create", "bob", "--tenant", other.id, *words, typed="pw\n", MAX_USERS_PER_TENANT="1")
    file, report = tmp_path / "users.ndjson", tmp_path / "refused.ndjson"
    rows = [{"login": login, "email": "user@example.org", "sub": "sub-1"} for login in ("alice", "carol", "dora")]
    file.write_text("\n".join(map(json.dumps, rows)))
    take = ("user", "import", "--tenant", tenant.email, "--refused", str(report), str(file))
    found = operator.run(*take, MAX_USERS_PER_TENANT="2")
    assert (found.exit_code, found.stdout.splitlines()[0]) == (3, "3 rows: 1 created, 1 exists, 1 refused.")
    [line] = map(json.loads, report.read_text().splitlines())
    assert (line["login"], line["code"]) == ("dora", "quota_exceeded")
    assert [user["login"] for user in tenant.get("/user").json()["users"]] == ["alice", "carol"]
    operator.do(*take, MAX_USERS_PER_TENANT="3")


def test_an_address_is_taken_once(operator: Operator, tenant: Tenant) -> None:
    answer = operator.run("tenant", "create", tenant.email.upper(), typed=PASSWORD + "\n")
    assert (answer.exit_code, answer.stderr) == (1, "This tenant's email already exists\n")


POOR = {
    "weak": "must contain a lowercase letter, an uppercase letter and a digit",
    "Aa1": "length must be at least 6 characters long",
    "ALL-UPPER-9": "must contain a lowercase letter, an uppercase letter and a digit",
    "Aa1" + "x" * 254: "length must be less than or equal to 256 characters long",
}


@pytest.mark.one_setup
@pytest.mark.parametrize("password", POOR, ids=lambda password: f"{password[:11]!a} {len(password)}")
def test_N3_an_operator_gives_tenants_passwords_by_the_rule_of_the_api(
    operator: Operator, tenant: Tenant, password: str
) -> None:
    api = tenant.http.post("/tenant", json={"email": fresh_email(), "password": password})
    assert api.status_code == 422
    said = "; ".join(detail["message"] for detail in api.json()["error"]["details"])
    assert POOR[password] in said
    address = fresh_email()
    for words in (("create", address), ("password", tenant.email)):
        answer = operator.run("tenant", *words, typed=password + "\n")
        assert (answer.exit_code, answer.stderr) == (1, said + "\n")
    assert operator.run("tenant", "show", address).exit_code == 1
    assert tenant.get("/tenant").status_code == 200, "the refused password ended the tenant's sessions"
    login = tenant.http.post("/tenant/login", json={"email": tenant.email, "password": PASSWORD})
    assert login.status_code == 200


def test_N3_an_operator_gives_no_user_a_password_that_no_login_could_present(
    operator: Operator, tenant: Tenant
) -> None:
    tenant.create("alice")
    token = tenant.session("alice")
    answer = operator.run("user", "password", "alice", "--tenant", tenant.email, typed="x" * 257 + "\n")
    assert answer.exit_code == 1
    assert answer.stderr == '"password" length must be less than or equal to 256 characters long\n'
    assert tenant.verify(token).status_code == 200


@pytest.mark.one_setup
@pytest.mark.parametrize("where", ["standard input", "file"])
def test_CF5_a_password_comes_from_a_file_or_standard_input(
    operator: Operator, tenant: Tenant, tmp_path: Path, where: str
) -> None:
    kept = tenant.token
    if where == "file":
        (tmp_path / "secret").write_text(NEW + "\nnot the password\n")
        operator.do("tenant", "password", tenant.email, "--password-file", str(tmp_path / "secret"))
    else:
        operator.do("tenant", "password", tenant.email, typed=NEW + "\n")
    login = tenant.http.post("/tenant/login", json={"email": tenant.email, "password": NEW})
    assert login.status_code == 200
    assert tenant.http.get("/tenant", headers={"Authorization": f"Bearer {kept}"}).status_code == 401


@pytest.mark.one_setup
@pytest.mark.parametrize("where", ["standard input", "file"])
def test_F28_a_byte_order_mark_is_no_part_of_a_password(
    operator: Operator, tenant: Tenant, tmp_path: Path, where: str
) -> None:
    text = "\ufeff" + NEW + "\r\n"
    if where == "file":
        (tmp_path / "secret").write_bytes(text.encode())
        operator.do("tenant", "password", tenant.email, "--password-file", str(tmp_path / "secret"))
    else:
        operator.do("tenant", "password", tenant.email, typed=text)
    login = tenant.http.post("/tenant/login", json={"email": tenant.email, "password": NEW})
    assert login.status_code == 200


def test_CF5_no_command_takes_a_password_as_an_argument() -> None:
    for name, (_, command) in commands().items():
        for parameter in command.params:
            assert not re.search(r"(password|passphrase|secret|master|token|code)$", parameter.name or ""), (
                name,
                parameter.name,
            )


@pytest.mark.one_setup
def test_an_empty_password_is_none(operator: Operator, tenant: Tenant) -> None:
    answer = operator.run("tenant", "password", tenant.email, typed="\n")
    assert (answer.exit_code, answer.stderr) == (1, "The password is empty.\n")
    assert tenant.http.post("/tenant/login", json={"email": tenant.email, "password": ""}).status_code != 200


def test_TK14_a_tenant_that_is_disabled_is_out_at_once_and_in_again_later(operator: Operator, tenant: Tenant) -> None:
    tenant.create()
    key = tenant.post("/tenant/key", {"name": "ci", "permissions": ["verify"]}).json()
    with_key = {"Authorization": f"Bearer {key['key']}"}
    session = tenant.session()
    operator.do("tenant", "disable", tenant.email)
    assert tenant.verify(session).status_code == 401
    assert tenant.http.post("/auth/verify", json={"token": session}, headers=with_key).status_code == 401
    operator.do("tenant", "enable", tenant.email)
    assert tenant.http.post("/auth/verify", json={"token": session}, headers=with_key).status_code == 400
    assert tenant.get("/tenant").status_code == 401
    told = [(one["action"], one["actor"]) for one in operator.read("audit", "show", "--tenant", tenant.email)]
    assert told[:2] == [("tenant.enable", "operator"), ("tenant.disable", "operator")]


def test_a_tenant_that_is_deleted_is_gone_and_its_address_free(operator: Operator, tenant: Tenant) -> None:
    refused = operator.run("tenant", "delete", tenant.email)
    assert refused.exit_code == 2
    assert tenant.get("/tenant").status_code == 200
    operator.do("tenant", "delete", tenant.email, "--yes")
    assert tenant.get("/tenant").status_code == 401
    assert operator.run("tenant", "show", tenant.email).stderr == f"There is no tenant {tenant.email}.\n"
    operator.do("tenant", "create", tenant.email, typed=PASSWORD + "\n")


def test_a_user_is_listed_shown_and_found_by_part_of_its_login(operator: Operator, tenant: Tenant) -> None:
    for login in ("alice", "alina", "bob"):
        tenant.create(login)
    tenant.session("alice")
    words = ("--tenant", tenant.email)
    assert [one["login"] for one in operator.read("user", "list", *words)] == ["alice", "alina", "bob"]
    assert [one["login"] for one in operator.read("user", "list", *words, "--search", "ALI")] == ["alice", "alina"]
    [shown] = operator.read("user", "show", "alice", *words)
    assert (shown["sessions"], shown["has_password"], shown["email_verified"]) == (1, True, None)
    tenant.http.patch("/user/bob", json={"emailVerified": True}, headers=tenant.headers)
    [verified] = operator.read("user", "show", "bob", *words)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", verified["email_verified"])
    table = operator.do("user", "list", *words).stdout
    assert table.splitlines()[0].split() == ["ID", "LOGIN", "EMAIL", "REGISTERED", "LAST_ACTIVITY", "DISABLED"]
    assert "argon2" not in table + str(shown)


def test_AU4_what_a_tenant_wrote_does_not_steer_the_terminal(operator: Operator, tenant: Tenant) -> None:
    assert tenant.create("alice", metadata={"a": "\x1b[31mred\u202e"}).status_code == 200
    shown = operator.do("user", "show", "alice", "--tenant", tenant.email).stdout
    assert not {"\x1b", "\u202e"} & set(shown)
    assert "red\\u202e" in shown


def test_TK14_a_user_that_is_disabled_or_deleted_is_out_at_once(operator: Operator, tenant: Tenant) -> None:
    tenant.create()
    session = tenant.session()
    operator.do("user", "disable", "alice", "--tenant", tenant.id)
    assert tenant.verify(session).status_code == 400
    assert tenant.login().status_code == 403
    operator.do("user", "enable", "alice", "--tenant", tenant.id)
    session = tenant.session()
    operator.do("user", "delete", "alice", "--tenant", tenant.id, "--yes")
    assert tenant.verify(session).status_code == 400
    assert tenant.login().status_code == 404
    again = operator.run("user", "delete", "alice", "--tenant", tenant.id, "--yes")
    assert (again.exit_code, again.stderr) == (1, "Specified login does not exist or was already deleted.\n")


def test_a_user_gets_a_password_by_the_tenants_policy(operator: Operator, tenant: Tenant) -> None:
    tenant.create()
    session = tenant.session()
    chosen = tenant.http.patch(
        "/tenant", json={"settings": {"passwordPolicy": {"minLength": 12}}}, headers=tenant.headers
    )
    assert chosen.status_code == 200, chosen.text
    words = ("user", "password", "alice", "--tenant", tenant.email)
    refused = operator.run(*words, typed="short-1\n")
    assert refused.exit_code == 1
    assert "short-1" not in refused.output
    assert tenant.verify(session).status_code == 200
    operator.do(*words, typed=NEW + "\n")
    assert tenant.verify(session).status_code == 400
    assert tenant.login(password=NEW).status_code == 200


def test_PW9_a_reset_code_from_the_operator_works_once(operator: Operator, tenant: Tenant) -> None:
    tenant.create()
    [offered] = operator.read("user", "reset-code", "alice", "--tenant", tenant.email)
    assert offered["expires_in"] == 600
    answers = [tenant.post("/auth/reset", {"code": offered["code"], "password": NEW}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 401], [answer.text for answer in answers]
    assert tenant.login(password=NEW).status_code == 200


@pytest.mark.parametrize("whose", ["user", "tenant"])
def test_N16_an_operator_unlocks_who_was_locked_and_nobody_else(
    operator: Operator, tenant: Tenant, other: Tenant, whose: str
) -> None:
    for one in (tenant, other):
        one.create()
        for _ in range(5):
            one.login(password="wrong")
            one.http.post("/tenant/login", json={"email": one.email, "password": "Wrong-Password-1"})
    if whose == "user":
        operator.do("user", "unlock", "alice", "--tenant", tenant.email)
    else:
        operator.do("tenant", "unlock", tenant.email)

    def right(one: Tenant) -> list[int]:
        # The wait of a locked account begins again here, however long the test has taken so far.
        one.login(password="wrong")
        one.http.post("/tenant/login", json={"email": one.email, "password": "Wrong-Password-1"})
        own = one.http.post("/tenant/login", json={"email": one.email, "password": PASSWORD})
        return [one.login().status_code, own.status_code]

    assert right(other) == [429, 429]
    assert right(tenant) == ([200, 429] if whose == "user" else [429, 200])
    told = [(one["action"], one["actor"]) for one in operator.read("audit", "show", "--tenant", tenant.email)]
    assert (f"{whose}.unlock", "operator") in told
    assert operator.run("user", "unlock", "nobody", "--tenant", tenant.email).exit_code == 1


def test_wrong_passwords_in_a_row_are_shown_of_users_and_tenants(operator: Operator, tenant: Tenant) -> None:
    tenant.create()
    for _ in range(5):
        tenant.login(password="wrong")
    tenant.http.post("/tenant/login", json={"email": tenant.email, "password": "Wrong-Password-1"})
    [user] = operator.read("user", "show", "alice", "--tenant", tenant.email)
    [own] = operator.read("tenant", "show", tenant.email)
    assert [(one["wrong_passwords"], one["locked"]) for one in (user, own)] == [(5, False), (1, False)]
    assert own["waits_until"] is None
    operator.do("user", "unlock", "alice", "--tenant", tenant.email)
    [user] = operator.read("user", "show", "alice", "--tenant", tenant.email)
    assert (user["wrong_passwords"], user["waits_until"]) == (0, None)


REVOCATIONS = {
    "one": (("--user", "alice", "--id", "{id}"), [400, 200, 200], 200),
    "a user's": (("--user", "alice"), [400, 400, 200], 200),
    "a tenant's": (("--yes",), [401, 401, 401], 401),
}


@pytest.mark.parametrize("name", REVOCATIONS)
def test_TK13_sessions_are_ended_one_a_users_or_a_tenants(
    operator: Operator, tenant: Tenant, other: Tenant, name: str
) -> None:
    more, expected, own = REVOCATIONS[name]
    for login in ("alice", "bob"):
        tenant.create(login)
    other.create()
    theirs = other.session()
    sessions = [tenant.session(), tenant.session(device="phone"), tenant.session("bob")]
    listed = operator.read("session", "list", "--tenant", tenant.email, "--user", "alice")
    first = next(one["id"] for one in listed if one["device"] == "laptop")
    operator.do("session", "revoke", "--tenant", tenant.email, *(word.format(id=first) for word in more))
    assert [tenant.verify(session).status_code for session in sessions] == expected
    assert tenant.get("/tenant").status_code == own
    assert other.verify(theirs).status_code == 200


def test_every_session_of_everybody_ends(operator: Operator, tenant: Tenant, other: Tenant) -> None:
    key = other.post("/tenant/key", {"name": "ci", "permissions": ["verify"]}).json()["key"]
    other.create()
    session = other.session()
    assert operator.run("session", "revoke", "--everybody").exit_code == 2
    operator.do("session", "revoke", "--everybody", "--yes")
    assert [one.get("/tenant").status_code for one in (tenant, other)] == [401, 401]
    with_key = {"Authorization": f"Bearer {key}"}
    assert other.http.post("/auth/verify", json={"token": session}, headers=with_key).status_code == 400


@pytest.mark.one_setup
@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--everybody", "--tenant", "x"],
        ["--everybody", "--user", "x"],
        ["--tenant", "x", "--id", "y"],
        ["--user", "x"],
    ],
    ids=str,
)
def test_whose_sessions_end_has_to_be_said(operator: Operator, words: list[str]) -> None:
    answer = operator.run("session", "revoke", *words, "--yes")
    assert answer.exit_code == 2
    assert "Give --tenant" in answer.stderr


def test_an_api_key_is_listed_and_revoked(operator: Operator, tenant: Tenant) -> None:
    made = tenant.post("/tenant/key", {"name": "ci", "permissions": ["users:read"]}).json()
    [listed] = operator.read("apikey", "list", "--tenant", tenant.email)
    assert (listed["name"], listed["permissions"]) == ("ci", "users:read")
    assert made["key"] not in str(listed)
    headers = {"Authorization": f"Bearer {made['key']}"}
    assert tenant.http.get("/user", headers=headers).status_code == 200
    operator.do("apikey", "revoke", listed["id"], "--tenant", tenant.email)
    assert tenant.http.get("/user", headers=headers).status_code == 401
    assert operator.run("apikey", "revoke", listed["id"], "--tenant", tenant.email).exit_code == 1


@pytest.mark.one_setup
def test_colours_are_for_terminals_only(operator: Operator) -> None:
    for words in (("tenant", "list"), ("tenant", "show", "nobody")):
        assert "\x1b" not in operator.run(*words).output


def test_what_cannot_be_done_says_why_and_ends_with_1(operator: Operator) -> None:
    answer = operator.run("tenant", "list", JWT_KEY="a" * 64)
    assert answer.exit_code == 1
    assert answer.stderr.startswith("JWT_KEY has to be random")
