"""Users of other systems, from their files: they log in with their passwords."""

import json
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest
from click.testing import CliRunner, Result

from doorward.cli import main
from doorward.core.model import User
from doorward.core.passwords.hashing import Hasher
from doorward.core.users.transfer import RejectedRow, UserRow
from doorward.http.api.user_rows import read_row
from doorward.imports.others import django as django_system
from doorward.imports.others import firebase, keycloak
from doorward.imports.others import kratos as kratos_system
from doorward.imports.others import supabase as supabase_system
from doorward.imports.others.reading import UNREADABLE, ParsedUser, SkippedEntry
from doorward.settings import Settings
from doorward.stores import Stores
from factories import make_tenant
from harness import CHEAP, KEY, read_settings
from imports.import_run import with_stores

EXPORTS = Path(__file__).parent / "exports"
PARAMETERS = EXPORTS / "firebase-parameters.txt"
TENANT = make_tenant(email="shop@example.org")
PASSWORD = "correct horse battery staple"
HASHER = Hasher(CHEAP)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A Doorward with one tenant."""
    monkeypatch.chdir(tmp_path)
    settings = read_settings(tmp_path / "data")
    assert with_stores(settings, lambda stores: stores.accounts.add_tenant(TENANT))
    return settings


def run(system: str, file: str | Path, *options: str, tenant: str = TENANT.email) -> Result:
    more = ["--hash-parameters", str(PARAMETERS)] if system == "firebase" else []
    words = ["import", system, str(EXPORTS / file), "--tenant", tenant, *more, *options]
    return CliRunner().invoke(main, words, env={"JWT_KEY": KEY, "DATA_DIR": "data", "NO_COLOR": None})


def users(settings: Settings) -> dict[str, User]:
    async def read(stores: Stores) -> list[User]:
        return await stores.accounts.list_users(TENANT.id, after="", limit=500)

    return {user.login: user for user in with_stores(settings, read)}


SYSTEMS: dict[str, tuple[str, dict[str, tuple[str, str, bool]]]] = {
    "kratos.json": (
        "kratos",
        {
            "ann@example.org": ("ann@example.org", PASSWORD, False),
            "ben": ("9f425a8d-7efc-4768-8f23-7647a74fdf14@users.invalid", PASSWORD, True),
            "cleo@example.org": ("cleo@example.org", "", False),
        },
    ),
    "supabase.csv": (
        "supabase",
        {
            "ann@example.org": ("ann@example.org", PASSWORD, False),
            "4917012345": ("5f0c1f62-0000-4000-8000-000000000002@users.invalid", PASSWORD, True),
        },
    ),
    "keycloak.json": (
        "keycloak",
        {
            "ann": ("ann@example.org", PASSWORD, False),
            "ben": ("e2@users.invalid", PASSWORD, True),
            "cleo": ("cleo@example.org", PASSWORD, False),
            "dora": ("dora@example.org", PASSWORD, False),
        },
    ),
    "firebase.json": (
        "firebase",
        {
            "ann@example.org": ("ann@example.org", "user1password", False),
            "+4917012345": ("fb2@users.invalid", "", True),
        },
    ),
    "django.json": (
        "django",
        {
            "ann": ("ann@example.org", PASSWORD, False),
            "ben": ("2@users.invalid", PASSWORD, True),
            "cleo": ("cleo@example.org", "", False),
        },
    ),
    "django.csv": (
        "django",
        {"ann": ("ann@example.org", PASSWORD, False), "ben": ("2@users.invalid", PASSWORD, True)},
    ),
}


@pytest.mark.parametrize("file", SYSTEMS)
def test_users_keep_their_names_and_passwords_and_a_second_run_changes_nothing(settings: Settings, file: str) -> None:
    system, expected = SYSTEMS[file]
    assert json.loads(run(system, file, "--dry-run", "--json").stdout)["created"] == len(expected)
    assert users(settings) == {}
    answer = run(system, file)
    assert answer.exit_code == 0, answer.output
    told = json.loads(run(system, file, "--json").stdout)
    assert answer.stdout.startswith(f"{told['rows']} rows: {len(expected)} created, 0 exists, 0 refused")
    found = users(settings)
    assert {login: (user.email, user.disabled) for login, user in found.items()} == {
        login: (email, disabled) for login, (email, _, disabled) in expected.items()
    }
    for login, (_, password, _) in expected.items():
        stored = found[login].password_hash
        assert bool(stored) == bool(password)
        assert HASHER.match(password, stored) == (bool(password), bool(password))
        assert not HASHER.match(password + "x", stored).right
    assert json.loads(run(system, file, "--json").stdout)["exists"] == len(expected)
    assert users(settings) == found


def test_what_else_a_system_knows_is_kept_beside(settings: Settings) -> None:
    answers = [run(SYSTEMS[file][0], file, "--json") for file in ("kratos.json", "keycloak.json", "firebase.json")]
    # People of different systems have the same login: ben of Keycloak, and ann@example.org of Firebase.
    assert [json.loads(answer.stdout)["reasons"]["refused"] for answer in answers] == [
        {},
        {"login_taken": 1},
        {"login_taken": 1},
    ]
    found = users(settings)
    assert json.loads(found["ann@example.org"].metadata or "")["traits"]["name"] == {"first": "Ann", "last": "Example"}
    assert json.loads(found["ann"].metadata or "")["attributes"] == {"locale": ["de"]}
    assert (found["ann"].sub, found["+4917012345"].sub) == ("e1", "fb2")
    ann = FIREBASE(json.loads((EXPORTS / "firebase.json").read_text())["users"][0])
    assert ann.row["scope"] == {"admin": True}


def kratos(*addresses: Any, **traits: str) -> dict[str, Any]:
    listed = [{"value": value, "verified": verified, "via": "email"} for value, verified in addresses]
    return {"id": "k", "traits": {"email": "ann@example.org", **traits}, "verifiable_addresses": listed}


def supabase(**columns: Any) -> dict[str, Any]:
    return {"id": "s", "email": "ann@example.org", **columns}


ANN = "ann@example.org"
NOW = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp() * 1000)
FIREBASE = partial(firebase.read, hashing=firebase.Hashing.parse(PARAMETERS.read_text()))
KRATOS = kratos_system.read
SUPABASE: Any = partial(supabase_system.read, now=NOW)
KEYCLOAK: Any = keycloak.read
DJANGO = partial(django_system.read_user, login_field="username")


def shown(value: object) -> str:
    """Return a name of a parameter that is the same in every process: a reader is named after its module."""
    reader = value.func if isinstance(value, partial) else value
    return reader.__module__ if isinstance(reader, FunctionType) else str(value)


SAID: list[tuple[Any, dict[str, Any], bool | None]] = [
    (KRATOS, kratos((ANN, True)), True),
    (KRATOS, kratos((ANN, False)), False),
    (KRATOS, kratos(("ANN@example.org", True)), True),
    (KRATOS, kratos(("other@example.org", True)), None),
    (KRATOS, kratos(("other@example.org", True), (ANN, False)), False),
    (KRATOS, kratos(), None),
    (KRATOS, {"id": "k", "traits": {"email": ANN}}, None),
    (KRATOS, {**kratos((ANN, True)), "verifiable_addresses": [{"value": ANN}]}, False),
    (KRATOS, {**kratos(("+49170", False)), "traits": {"username": "ann"}}, False),
    (KRATOS, {**kratos(("+49170", True)), "traits": {"username": "ann"}}, None),
    (SUPABASE, supabase(email_confirmed_at="2024-01-01", confirmed_at="2024-01-01"), True),
    (SUPABASE, supabase(email_confirmed_at="", confirmed_at=""), False),
    (SUPABASE, supabase(email_confirmed_at=None), False),
    (SUPABASE, supabase(email_confirmed_at="", confirmed_at="2024-01-01", phone="4917"), False),
    (SUPABASE, supabase(confirmed_at="2024-01-01"), True),
    (SUPABASE, supabase(confirmed_at=""), False),
    (SUPABASE, supabase(), None),
    (SUPABASE, {"id": "s", "phone": "4917", "phone_confirmed_at": ""}, False),
    (SUPABASE, {"id": "s", "phone": "4917", "phone_confirmed_at": "2024-01-01"}, None),
    (SUPABASE, {"id": "s", "phone": "4917", "email_confirmed_at": ""}, None),
    (KEYCLOAK, {"id": "e", "username": "ann", "email": ANN, "emailVerified": True}, True),
    (KEYCLOAK, {"id": "e", "username": "ann", "email": ANN, "emailVerified": False}, False),
    (KEYCLOAK, {"id": "e", "username": "ann", "email": ANN}, None),
    (KEYCLOAK, {"id": "e", "username": "ann", "emailVerified": False}, None),
    (FIREBASE, {"localId": "f", "email": ANN, "emailVerified": True}, True),
    (FIREBASE, {"localId": "f", "email": ANN, "emailVerified": False}, False),
    (FIREBASE, {"localId": "f", "email": ANN}, None),
    (FIREBASE, {"localId": "f", "phoneNumber": "+4917", "emailVerified": False}, None),
]


@pytest.mark.parametrize(("reader", "entry", "expected"), SAID, ids=shown)
def test_F14_every_system_says_whether_an_address_was_verified(
    reader: Any, entry: dict[str, Any], *, expected: bool | None
) -> None:
    row = reader(entry).row
    assert row.get("emailVerified") is expected
    read = read_row(row)
    assert isinstance(read, UserRow)
    assert read.email_verified is expected
    assert not read.disabled


def django(pk: Any, username: str, email: str) -> dict[str, Any]:
    return {"model": "auth.user", "pk": pk, "fields": {"username": username, "email": email, "password": "!"}}


def allauth(user: Any, email: Any, *, verified: Any) -> dict[str, Any]:
    fields = {"user": user, "email": email, "verified": verified, "primary": True}
    return {"model": "account.emailaddress", "pk": 1, "fields": fields}


@pytest.mark.parametrize(
    ("addresses", "expected"),
    [
        ([], None),
        ([allauth(5, "Ann@example.org", verified=True)], True),
        ([allauth(5, "ann@EXAMPLE.org", verified=True)], True),
        ([allauth(5, "Ann@example.org", verified=False)], False),
        ([allauth(5, "Ann@example.org", verified=None)], False),
        ([allauth(5, "other@example.org", verified=True)], None),
        ([allauth(5, "other@example.org", verified=True), allauth(5, "ann@example.org", verified=False)], False),
        ([allauth(6, "Ann@example.org", verified=True)], None),
        ([allauth(["ann"], "Ann@example.org", verified=True)], True),
        ([allauth(["bob"], "Ann@example.org", verified=True)], None),
        ([allauth(["5"], "Ann@example.org", verified=True)], None),
        ([allauth(5, "\uff21nn@example.org", verified=True)], None),
    ],
)
def test_F14_django_allauth_says_which_addresses_were_verified(addresses: list[Any], expected: object) -> None:
    entries = [*addresses, django(5, "ann", "Ann@example.org")]
    read = django_system.open_file(entries).read
    assert [read(one) for one in addresses] == [SkippedEntry("other_model")] * len(addresses)
    found = read(entries[-1])
    assert isinstance(found, ParsedUser)
    assert found.row.get("emailVerified") is expected


@pytest.mark.parametrize("system", ["kratos", "supabase", "keycloak", "firebase", "django"])
@pytest.mark.parametrize("choice", [None, "admit", "skip"])
def test_F14_unconfirmed_users_of_every_system_come_in_disabled_unless_the_operator_says_otherwise(
    settings: Settings, tmp_path: Path, system: str, choice: str | None
) -> None:
    unconfirmed: dict[str, list[Any]] = {
        "kratos": [kratos((ANN, False)), {**kratos(("ben@example.org", True), email="ben@example.org"), "id": "l"}],
        "supabase": [
            supabase(email_confirmed_at=None),
            supabase(id="t", email="ben@example.org", email_confirmed_at="2024-01-01"),
        ],
        "keycloak": [
            {"id": "e", "username": ANN, "email": ANN, "emailVerified": False},
            {"id": "f", "username": "ben@example.org", "email": "ben@example.org", "emailVerified": True},
        ],
        "firebase": [
            {"localId": "f", "email": ANN, "emailVerified": False},
            {"localId": "g", "email": "ben@example.org", "emailVerified": True},
        ],
        "django": [
            django(1, ANN, ANN),
            django(2, "ben@example.org", "ben@example.org"),
            allauth(1, ANN, verified=False),
            allauth(2, "ben@example.org", verified=True),
        ],
    }
    file = tmp_path / "some.json"
    file.write_text(json.dumps(unconfirmed[system]))
    options = ["--unconfirmed", choice] if choice else []
    told = json.loads(run(system, file, *options, "--json", "--dry-run").stdout)
    assert (told["created"] + told["reasons"]["skipped"].get("unconfirmed", 0), told["unconfirmed"]) == (2, 1)
    answer = run(system, file, *options)
    assert answer.exit_code == 0, answer.output
    treated = {
        None: "1 created, e-mail address never verified: disabled (--unconfirmed disable).",
        "admit": "1 created, e-mail address never verified: can log in (--unconfirmed admit).",
        "skip": "1 left out: e-mail address never verified (--unconfirmed skip).",
    }[choice]
    assert treated in answer.stdout
    found = users(settings)
    assert {login: user.disabled for login, user in found.items()} == {
        **({} if choice == "skip" else {ANN: choice is None}),
        "ben@example.org": False,
    }
    assert [bool(user.email_verified_at) for user in found.values()] == [False] * (len(found) - 1) + [True]


@pytest.mark.parametrize(
    ("reader", "entry", "missing"),
    [
        (KRATOS, {**kratos((ANN, True)), "credentials": {"password": {"identifiers": [ANN]}}}, "traits"),
        (KRATOS, kratos((ANN, True)), "id"),
        (FIREBASE, {"localId": "f", "email": ANN, "emailVerified": True}, "localId"),
        (SUPABASE, supabase(), "id"),
        (KEYCLOAK, {"id": "e", "username": "ann", "email": ANN}, "username"),
        (DJANGO, {"id": 1, "username": "ann", "email": ANN, "password": "!"}, "username"),
        (DJANGO, {"id": 1, "username": "ann", "email": ANN, "password": "!"}, "password"),
    ],
    ids=shown,
)
def test_T9_an_entry_without_what_names_its_user_is_none(reader: Any, entry: dict[str, Any], missing: str) -> None:
    assert reader(entry)
    with pytest.raises(UNREADABLE, match=f'The entry has no "{missing}"'):
        reader({name: value for name, value in entry.items() if name != missing})


@pytest.mark.parametrize(
    ("system", "entry"),
    [("firebase", {"email": ANN, "emailVerified": True}), ("kratos", {"id": "k", "verifiable_addresses": []})],
)
def test_T9_a_firebase_user_without_localId_and_a_kratos_one_without_traits_are_refused(
    settings: Settings, tmp_path: Path, system: str, entry: dict[str, Any]
) -> None:
    file = tmp_path / "some.json"
    file.write_text(json.dumps([entry]))
    answer = run(system, file, "--json")
    assert answer.exit_code == 3
    assert [one["code"] for one in json.loads(answer.stdout)["refusals"]] == ["unreadable_entry"]
    assert users(settings) == {}


def test_an_entry_that_is_none_refuses_itself_and_no_other(settings: Settings, tmp_path: Path) -> None:
    entries: list[Any] = json.loads((EXPORTS / "kratos.json").read_text())
    costly = {
        **entries[0],
        "traits": {"username": "eve"},
        "credentials": {"password": {"config": {"hashed_password": "$2b$31$" + "C" * 53}}},
    }
    file = tmp_path / "some.ndjson"
    file.write_text(
        "\n".join(map(json.dumps, [entries[0], 7, {"id": "x"}, {"id": "x", "traits": {"username": "a\u0000"}}, costly]))
    )
    answer = run("kratos", file, "--json")
    assert answer.exit_code == 3
    told = json.loads(answer.stdout)
    assert (told["created"], told["refused"]) == (1, 4)
    assert [(one["row"], one["code"]) for one in told["refusals"]] == [
        (2, "unreadable_entry"),
        (3, "unreadable_entry"),
        (4, "validation_error"),
        (5, "hash_too_costly"),
    ]
    assert list(users(settings)) == ["ann@example.org"]
    assert [one["error"] for one in told["refusals"][:2]] == [
        "The entry does not have the format of this system",
        'The entry has no "traits"',
    ]
    assert "  row 5, 'eve': The password hash demands more" in run("kratos", file).stdout


@pytest.mark.parametrize(
    ("system", "content", "tenant", "sentence"),
    [
        ("kratos", "{", TENANT.email, "The file is not valid JSON from line 1, column 2 on"),
        ("kratos", '[]\n[{"id": 1},\n {"id" 2}]', TENANT.email, "The file is not valid JSON from line 3, column 8 on"),
        ("kratos", '{"id": 1, "id": 2}', TENANT.email, "The file has a JSON object with a duplicate name"),
        ("django", "[" * 100_000, TENANT.email, "The file has JSON that nests too deep, or a number that is too long"),
        ("keycloak", "[]", "nobody@example.org", "There is no tenant nobody@example.org"),
        (
            "keycloak",
            "[]",
            "9f425a8d-7efc-4768-8f23-7647a74fdf13",
            "There is no tenant 9f425a8d-7efc-4768-8f23-7647a74fdf13",
        ),
    ],
)
@pytest.mark.usefixtures("settings")
def test_what_cannot_be_done_is_one_sentence(
    tmp_path: Path, system: str, content: str, tenant: str, sentence: str
) -> None:
    file = tmp_path / "file.json"
    file.write_text(content)
    answer = run(system, file, tenant=tenant)
    assert (answer.exit_code, answer.stderr, answer.stdout) == (1, f"{sentence}.\n", "")


@pytest.mark.parametrize("reader", [KRATOS, SUPABASE, KEYCLOAK, DJANGO, FIREBASE], ids=shown)
@pytest.mark.parametrize(
    "entry",
    [None, 1, "x", [], {}, {"id": {}}, {"fields": 1, "pk": 1}, {"traits": 7, "id": 1}, {"localId": 7, "username": []}],
    ids=repr,
)
def test_no_entry_breaks_a_reader_in_another_way(reader: Any, entry: Any) -> None:
    try:
        found = reader(entry)
    except UNREADABLE:
        return
    assert isinstance(read_row(found.row), RejectedRow)


def test_firebase_parameters_have_to_be_whole(tmp_path: Path, settings: Settings) -> None:
    assert firebase.Hashing.parse(PARAMETERS.read_text()).rounds == 8
    half = tmp_path / "half.txt"
    half.write_text("hash_config { rounds: 8 }")
    words = [
        "import",
        "firebase",
        str(EXPORTS / "firebase.json"),
        "--tenant",
        TENANT.email,
        "--hash-parameters",
        str(half),
    ]
    answer = CliRunner().invoke(main, words)
    assert answer.exit_code == 2
    assert "base64_signer_key' is missing" in answer.stderr
    assert users(settings) == {}


def write(path: Path, content: Any) -> Path:
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


@pytest.mark.parametrize("options", [[], ["--dry-run"]])
def test_F7_two_people_whose_logins_differ_by_case_are_named_with_row_and_both_logins(
    settings: Settings, tmp_path: Path, options: list[str]
) -> None:
    people = [django(1, "Bob", "a@example.org"), django(2, "bob", "b@example.org"), django(1, "BOB", "a@example.org")]
    others = [django(n, f"user{n}", "c@example.org") for n in range(10, 510)]
    # The second one comes in another batch than the first.
    file = write(tmp_path / "people.json", [people[0], *others, people[1], people[2]])
    answer = run("django", file, "--json", *options)
    assert answer.exit_code == 3
    told = json.loads(answer.stdout)
    assert (told["created"], told["exists"], told["refused"]) == (501, 1, 1)
    [refusal] = told["refusals"]
    assert (refusal["row"], refusal["login"], refusal["code"], refusal["takenBy"]) == (502, "bob", "login_taken", "Bob")
    assert told["reasons"]["refused"] == {"login_taken": 1}
    assert (
        "  row 502, 'bob': The login is taken by user 'Bob', who has another sub"
        in run("django", file, *options).stdout.splitlines()
    )
    assert [login for login in users(settings) if login.lower() == "bob"] == ([] if options else ["Bob"])


@pytest.mark.parametrize("ending", ["ndjson", "jsonl", "json"])
def test_F8_a_line_ends_at_LF_and_at_nothing_else(settings: Settings, tmp_path: Path, ending: str) -> None:
    names = ["a\u2028b", "a\u2029b", "a\u0085b", "a\u000bb", "a\u000cb", "a\u001cb"]
    identities = [kratos(name=name) | {"id": f"k{n}"} for n, name in enumerate(names)]
    for n, identity in enumerate(identities):
        identity["traits"]["email"] = f"u{n}@example.org"
    text = "\r\n".join(json.dumps(one, ensure_ascii=False) for one in identities)
    answer = run("kratos", write(tmp_path / f"some.{ending}", text))
    assert answer.exit_code == 0, answer.output
    kept = [json.loads(user.metadata or "")["traits"]["name"] for user in users(settings).values()]
    assert kept == names


def test_F8_cells_of_CSV_hold_line_ends_as_they_are(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "some.csv"
    path.write_bytes(
        b'id,password,username,email,bio\r\n1,!,ann,a@b,"one\r\ntwo\nthree\rfour\xe2\x80\xa8five"\r\n2,!,ben,a@b,x,y\r\n'
    )
    answer = run("django", path, "--json")
    assert answer.exit_code == 3
    assert [(one["row"], one["code"]) for one in json.loads(answer.stdout)["refusals"]] == [(2, "unreadable_entry")]
    assert json.loads(users(settings)["ann"].metadata or "")["bio"] == "one\r\ntwo\nthree\rfour\u2028five"


def test_F8_a_line_that_is_no_json_refuses_itself_and_no_other(settings: Settings, tmp_path: Path) -> None:
    lines = [json.dumps(kratos()), "{no json", json.dumps(kratos(email="ben@example.org") | {"id": "l"})]
    answer = run("kratos", write(tmp_path / "some.ndjson", "\n".join(lines)), "--json")
    assert answer.exit_code == 3
    told = json.loads(answer.stdout)
    assert [(one["row"], one["code"]) for one in told["refusals"]] == [(2, "unreadable_entry")]
    assert list(users(settings)) == [ANN, "ben@example.org"]


@pytest.mark.parametrize(
    ("banned_until", "disabled"),
    [
        (None, False),
        ("", False),
        ("2025-12-31 23:59:59.9+00", False),
        ("2025-12-31T23:59:59Z", False),
        ("2026-01-01 00:30:00+01", False),
        ("2025-12-31 23:30:00", False),
        ("2026-01-01 00:00:01+00", True),
        ("2124-01-01T00:00:00Z", True),
        ("infinity", True),
        ("-infinity", False),
        ("null", False),
    ],
)
def test_F12_only_a_ban_that_lies_ahead_disables(banned_until: Any, *, disabled: bool) -> None:
    assert SUPABASE(supabase(banned_until=banned_until)).row.get("disabled", False) is disabled


@pytest.mark.parametrize("column", ["deleted_at", "banned_until", "email_confirmed_at"])
def test_F12_text_that_is_no_date_refuses_its_row_and_null_is_empty(
    settings: Settings, tmp_path: Path, column: str
) -> None:
    cells = ["null", "", "NULL", "once"]
    lines = [f"s{n},user{n}@example.org,{cell}" for n, cell in enumerate(cells)]
    file = write(tmp_path / "some.csv", "\n".join([f"id,email,{column}", *lines]))
    told = json.loads(run("supabase", file, "--json").stdout)
    assert [(one["login"], one["error"]) for one in told["refusals"]] == [
        (f"user{n}@example.org", f'"{column}" of the entry is not a date') for n in (2, 3)
    ]
    assert {login: user.disabled for login, user in users(settings).items()} == dict.fromkeys(
        ["user0@example.org", "user1@example.org"], column == "email_confirmed_at"
    )
    wrong: list[Any] = [1700000000, True, [], {}]
    for value in wrong:
        with pytest.raises(UNREADABLE, match="is not a date"):
            SUPABASE(supabase(**{column: value}))


def test_F12_users_of_a_directory_are_left_out_wherever_keycloak_lists_them(settings: Settings, tmp_path: Path) -> None:
    realm = {
        "realm": "a",
        "users": [keycloak_user("ann"), keycloak_user("ldap") | {"federationLink": "d0", "credentials": []}],
        "federatedUsers": [{"id": "f:d0:x"}],
    }
    told = json.loads(run("keycloak", write(tmp_path / "realm.json", realm), "--json").stdout)
    assert told["reasons"]["skipped"] == {"federated_user": 2}
    assert list(users(settings)) == ["ann"]


EMPTY = "The file has no entries: is it complete?"


@pytest.mark.parametrize(
    ("system", "name", "content", "warning"),
    [
        ("kratos", "some.json", "", EMPTY),
        ("kratos", "some.json", "[]", EMPTY),
        ("firebase", "some.json", '{"users": []}', EMPTY),
        ("keycloak", "some.json", '{"realm": "a", "users": []}', EMPTY),
        ("supabase", "some.csv", "id,email,encrypted_password\n", EMPTY),
        ("supabase", "some.csv", "id,ema", EMPTY),
        ("django", "some.jsonl", "\n", EMPTY),
        ("supabase", "some.csv", "id,email,deleted_at\ns,a@b,2024-01-01\n", "Every row was left out."),
    ],
)
@pytest.mark.usefixtures("settings")
def test_F26_a_file_without_users_to_import_causes_a_warning(
    tmp_path: Path, system: str, name: str, content: str, warning: str
) -> None:
    file = write(tmp_path / name, content)
    answer = run(system, file)
    assert answer.exit_code == 0
    assert answer.stderr.startswith(f"Warning: {warning}")
    [told] = json.loads(run(system, file, "--json").stdout)["warnings"]
    assert told.startswith(warning)


@pytest.mark.usefixtures("settings")
def test_F26_refused_rows_are_named_as_the_file_has_them(tmp_path: Path) -> None:
    entries: list[Any] = [
        kratos(username=" bad name"),
        {"id": "k2", "traits": {}},
        {"id": "k\x1b[3m", "state": "active"},
        7,
    ]
    file = write(tmp_path / "some.json", entries)
    answer = run("kratos", file)
    assert answer.exit_code == 3
    for line in ("row 1, ' bad name': ", "row 2, 'k2': ", "row 3, 'k\\x1b[3m': ", "row 4, without a login: "):
        assert f"  {line}" in answer.stdout
    told = json.loads(run("kratos", file, "--json").stdout)["refusals"]
    assert [(one["login"], one.get("sub")) for one in told] == [
        (" bad name", None),
        (None, "k2"),
        (None, "k\x1b[3m"),
        (None, None),
    ]


@pytest.mark.parametrize(
    ("system", "entry", "hint"),
    [
        ("kratos", supabase(encrypted_password="x"), "Is this a file of Supabase? Try `doorward import supabase`."),
        ("supabase", kratos(), "Is this a file of Kratos? Try `doorward import kratos`."),
        ("firebase", {"username": "ann", "enabled": True}, "Is this a file of Keycloak?"),
        ("keycloak", {"localId": "f"}, "Is this a file of Firebase?"),
        ("supabase", django(1, "ann", ANN), "Is this a file of Django?"),
        ("kratos", {"id": "k"}, ""),
    ],
)
@pytest.mark.usefixtures("settings")
def test_F26_a_file_of_another_system_is_recognized_once(
    tmp_path: Path, system: str, entry: dict[str, Any], hint: str
) -> None:
    answer = run(system, write(tmp_path / "some.json", [entry, entry]))
    assert answer.exit_code == 3
    assert answer.stderr.startswith(f"Warning: {hint}" if hint else "")
    assert answer.output.count("Is this a file") == bool(hint)


@pytest.mark.usefixtures("settings")
def test_F26_SQL_is_refused_with_the_command_for_CSV(tmp_path: Path) -> None:
    answer = run("supabase", write(tmp_path / "dump.sql", "SELECT 1;"))
    assert answer.exit_code == 2
    assert "SQL files are not supported." in answer.stderr
    assert r"\copy (SELECT * FROM auth.users) TO users.csv CSV HEADER" in " ".join(answer.stderr.split())


@pytest.mark.usefixtures("settings")
def test_F26_a_quota_is_named_by_its_setting(tmp_path: Path) -> None:
    entries = [kratos(), kratos(email="ben@example.org") | {"id": "l"}]
    words = ["import", "kratos", str(write(tmp_path / "some.json", entries)), "--tenant", TENANT.id]
    quota = {"JWT_KEY": KEY, "DATA_DIR": "data", "MAX_USERS_PER_TENANT": "1"}
    answer = CliRunner().invoke(main, words, env=quota)
    assert answer.exit_code == 3
    assert "raise its quota (MAX_USERS_PER_TENANT)\n" in answer.stdout
    more = ["user", "create", "cleo", "--tenant", TENANT.id, "--email", "c@example.org", "--sub", "c"]
    refused = CliRunner().invoke(main, more, env=quota, input="correct horse battery staple\n")
    assert refused.exit_code == 1
    assert "(MAX_USERS_PER_TENANT)" in refused.stderr


def test_F26_users_that_were_disabled_there_are_counted(settings: Settings, tmp_path: Path) -> None:
    entries = [kratos() | {"state": "inactive"}, kratos(email="ben@example.org") | {"id": "l"}]
    file = write(tmp_path / "some.json", entries)
    assert json.loads(run("kratos", file, "--dry-run", "--json").stdout)["reasons"]["created"]["disabled"] == 1
    assert "     1 created, disabled, as in the source system.\n" in run("kratos", file).stdout
    assert {login: user.disabled for login, user in users(settings).items()} == {ANN: True, "ben@example.org": False}


SECRET = {"type": "password", "secretData": json.dumps({"value": "dg==", "salt": "cw=="})}
PBKDF2 = {**SECRET, "credentialData": json.dumps({"hashIterations": 5, "algorithm": "pbkdf2"})}


@pytest.mark.parametrize(
    ("more", "secret", "reason"),
    [
        ({"credentials": [PBKDF2]}, "$pbkdf2-sha1$i=5$cw==$dg==", None),
        ({"credentials": [PBKDF2], "requiredActions": ["UPDATE_PASSWORD"]}, None, "temporary_password"),
        ({"credentials": [{**PBKDF2, "temporary": True}]}, None, "temporary_password"),
        ({"credentials": [{"type": "password", "value": "x", "temporary": True}]}, None, "temporary_password"),
        ({"credentials": [{"type": "password", "value": "x"}]}, None, "plain_password"),
        ({"credentials": [], "requiredActions": ["UPDATE_PASSWORD"]}, None, None),
        ({"credentials": [{**PBKDF2, "temporary": False}]}, "$pbkdf2-sha1$i=5$cw==$dg==", None),
    ],
)
def test_F12_temporary_passwords_of_keycloak_are_left_out_and_counted(
    more: dict[str, Any], secret: str | None, reason: str | None
) -> None:
    found = KEYCLOAK({"id": "e", "username": "ann", **more})
    assert (found.row.get("passwordHash"), found.password) == (secret, reason)
    assert "requiredActions" not in " ".join(found.not_kept)


def test_F23_hashes_beyond_the_bounds_come_in_when_the_operator_says_so(settings: Settings, tmp_path: Path) -> None:
    hashes = [f"$argon2id$v=19$m=262144,t=3,p=1${'A' * 22}${'A' * 43}", "$2b$15$" + "C" * 53]
    config = [{"password": {"config": {"hashed_password": stored}}} for stored in hashes]
    file = write(
        tmp_path / "some.json",
        [kratos(email=f"u{n}@example.org") | {"id": f"k{n}", "credentials": one} for n, one in enumerate(config)],
    )
    answer = run("kratos", file, "--json")
    assert (answer.exit_code, json.loads(answer.stdout)["reasons"]["refused"]) == (3, {"hash_too_costly": 2})
    answer = run("kratos", file, "--costly-hashes")
    assert answer.exit_code == 0, answer.output
    assert [user.password_hash for user in users(settings).values()] == hashes


LARGE = {"photo": "x" * 5000, "name": "Ann"}


@pytest.mark.parametrize(
    ("options", "created", "parts", "kept"),
    [
        ([], ["plain"], [], None),
        (["--metadata", "none"], ["large", "deep", "plain"], [], None),
        (
            ["--metadata", "fit"],
            ["large", "deep", "plain"],
            ["metadata.traits.photo", "metadata.traits.a"],
            {"traits": {"email": "large@example.org", "name": "Ann"}},
        ),
        (["--without-unfit"], ["large", "deep", "odd", "plain"], ["metadata", "metadata", "passwordHash"], None),
    ],
)
def test_F24_a_part_that_cannot_be_kept_is_left_out_and_named_where_the_operator_says_so(
    settings: Settings, tmp_path: Path, options: list[str], created: list[str], parts: list[str], kept: Any
) -> None:
    deep: Any = 1
    for _ in range(9):
        deep = [deep]
    odd = {"credentials": {"password": {"config": {"hashed_password": "5f4dcc3b5aa765d61d8327deb882cf99"}}}}
    entries = [
        {"id": "large", "traits": {"email": "large@example.org", **LARGE}},
        {"id": "deep", "traits": {"email": "deep@example.org", "a": deep, "b": "x" * 3000}},
        {"id": "odd", "traits": {"email": "odd@example.org"}, **odd},
        {"id": "plain", "traits": {"email": "plain@example.org", "a": 1}},
    ]
    answer = run("kratos", write(tmp_path / "some.json", entries), "--json", *options)
    told = json.loads(answer.stdout)
    found = {user.sub: user for user in users(settings).values()}
    assert sorted(found) == sorted(created)
    assert answer.exit_code == (0 if "--without-unfit" in options else 3)
    assert [one["part"] for one in told["partsLeftOut"]] == parts
    assert told["notKept"] == ({"metadata": 3} if "none" in options else {})
    if kept:
        assert json.loads(found["large"].metadata or "") == kept
        assert json.loads(found["deep"].metadata or "")["traits"] == {"email": "deep@example.org", "b": "x" * 3000}
    if parts:
        again = run("kratos", tmp_path / "some.json", "--dry-run", *options, tenant=TENANT.id)
        assert "0 created" in again.stdout


@pytest.mark.parametrize("form", ["[{}]", '{{"a": 1, "b": {}}}'])
def test_F24_metadata_of_any_depth_is_left_out_and_the_user_kept(settings: Settings, tmp_path: Path, form: str) -> None:
    deep = "1"
    for _ in range(700):
        deep = form.format(deep)
    file = write(tmp_path / "deep.ndjson", f'{{"id": "1", "traits": {{"email": "ann@b", "name": "Ann", "a": {deep}}}}}')
    answer = run("kratos", file, "--metadata", "fit", "--json")
    assert answer.exit_code == 0, answer.output
    assert json.loads(answer.stdout)["partsLeftOut"][0]["part"].startswith("metadata.traits.a")
    assert json.loads(users(settings)["ann@b"].metadata or "")["traits"]["name"] == "Ann"


def test_F24_a_large_cell_refuses_its_row_and_no_other(settings: Settings, tmp_path: Path) -> None:
    picture = json.dumps({"picture": "x" * 200_000, "name": "Ann"}).replace('"', '""')
    lines = ["id,email,raw_user_meta_data", f'1,ann@example.org,"{picture}"', "2,ben@example.org,"]
    file = write(tmp_path / "users.csv", "\n".join(lines))
    assert run("supabase", file).exit_code == 3
    assert list(users(settings)) == ["ben@example.org"]
    assert run("supabase", file, "--metadata", "fit").exit_code == 0
    assert list(users(settings)) == ["ann@example.org", "ben@example.org"]


def test_F24_what_lets_a_user_in_is_never_left_out(settings: Settings, tmp_path: Path) -> None:
    rows = [
        {"login": "a", "email": "a@b", "sub": "a", "disabled": "yes", "company": 7},
        {"login": "b", "email": "a@b", "sub": "b", "emailVerified": "no"},
        {"login": "c", "email": "no address", "sub": "c"},
        {"login": "d", "email": "a@b", "sub": "d", "company": 7, "scope": "s" * 9000},
    ]
    words = ["user", "import", str(write(tmp_path / "some.json", rows)), "--tenant", TENANT.id, "--without-unfit"]
    answer = CliRunner().invoke(main, words, env={"JWT_KEY": KEY, "DATA_DIR": "data"})
    assert answer.exit_code == 3
    assert list(users(settings)) == ["d"]
    assert "  row 4, 'd': company left out (validation_error)" in answer.stdout
    assert "  row 4, 'd': scope left out (validation_error)" in answer.stdout


def test_F25_a_line_of_no_realm_is_refused_and_not_lost(settings: Settings, tmp_path: Path) -> None:
    realms = [json.dumps({"realm": name, "users": [keycloak_user(f"u-{name}")]}) for name in ("a", "b")]
    file = write(tmp_path / "realms.ndjson", "\n".join([realms[0], "{no json", realms[1]]))
    answer = run("keycloak", file, "--realm", "b", "--json")
    assert answer.exit_code == 3
    assert json.loads(answer.stdout)["reasons"]["refused"] == {"unreadable_entry": 1}
    assert list(users(settings)) == ["u-b"]


def keycloak_user(name: str) -> dict[str, Any]:
    return {"id": f"id-{name}", "username": name, "email": f"{name}@example.org"}


def test_F25_a_credential_that_nests_too_deep_refuses_its_row_and_no_other(settings: Settings, tmp_path: Path) -> None:
    credential = {"type": "password", "secretData": "[" * 100_000, "credentialData": "{}"}
    file = write(tmp_path / "realm.json", [keycloak_user("ann") | {"credentials": [credential]}, keycloak_user("ben")])
    answer = run("keycloak", file, "--json")
    assert (answer.exit_code, list(users(settings))) == (3, ["ben"])
    assert json.loads(answer.stdout)["reasons"]["refused"] == {"unreadable_entry": 1}


@pytest.mark.parametrize(
    ("content", "options", "logins", "sentence"),
    [
        ([{"realm": "a", "users": [keycloak_user("ann")]}, {"realm": "b", "users": []}], [], ["ann"], ""),
        ([{"realm": "a", "users": [keycloak_user("ann")]}, {"realm": "b"}], ["--realm", "a"], ["ann"], ""),
        ({"realm": "a", "users": [keycloak_user("ann")]}, [], ["ann"], ""),
        ({"users": [keycloak_user("ann")]}, [], ["ann"], ""),
        ([keycloak_user("ann"), keycloak_user("ben")], [], ["ann", "ben"], ""),
        (
            [{"realm": "a", "users": [keycloak_user("ann")]}, {"realm": "b", "users": [keycloak_user("ben")]}],
            [],
            [],
            "The file has users of several realms: 'a', 'b'. Choose one with --realm.\n",
        ),
        (
            {"realm": "a", "users": [keycloak_user("ann")]},
            ["--realm", "c"],
            [],
            "The file has no users of the realm 'c'; its realms with users are: 'a'. Choose one with --realm.\n",
        ),
    ],
)
def test_F25_one_realm_of_keycloak_is_imported(
    settings: Settings, tmp_path: Path, content: Any, options: list[str], logins: list[str], sentence: str
) -> None:
    answer = run("keycloak", write(tmp_path / "realms.json", content), *options)
    assert answer.exit_code == (1 if sentence else 0)
    assert sentence in answer.stderr
    assert list(users(settings)) == logins


@pytest.mark.parametrize(
    ("model", "login_field", "sentence"),
    [
        (
            "shop.nobody",
            "email",
            "The file has no entries of 'shop.nobody', but of: 'account.emailaddress', 'auth.group', ",
        ),
        (
            "shop.customer",
            "username",
            'The entry has no "username". Choose the login with --login-field; its fields are: ',
        ),
    ],
)
@pytest.mark.usefixtures("settings")
def test_F25_a_model_or_login_field_that_is_not_there_is_named(model: str, login_field: str, sentence: str) -> None:
    answer = run("django", "django-customers.json", "--model", model, "--login-field", login_field)
    assert answer.exit_code in {1, 3}
    assert sentence in answer.output


def test_F25_row_numbers_count_every_row(settings: Settings, tmp_path: Path) -> None:
    entries = [
        {"model": "auth.group", "pk": 1, "fields": {"name": "staff"}},
        django(1, "ann", ANN),
        allauth(1, ANN, verified=True),
        django(2, "..", "ben@example.org"),
    ]
    told = json.loads(run("django", write(tmp_path / "some.json", entries), "--json").stdout)
    assert (told["rows"], told["created"], told["skipped"]) == (4, 1, 2)
    assert [one["row"] for one in told["refusals"]] == [4]
    assert list(users(settings)) == ["ann"]


@pytest.mark.parametrize(("system", "file"), [("kratos", "kratos-pages.ndjson"), ("keycloak", "keycloak.json")])
@pytest.mark.usefixtures("settings")
def test_F26_users_without_a_password_are_counted_and_a_warning_says_where_that_is_all(
    tmp_path: Path, system: str, file: str
) -> None:
    assert run(system, file).stderr == ""
    bare = write(tmp_path / "bare.json", [kratos(email="new@example.org")])
    answer = run("kratos", bare)
    assert (answer.exit_code, answer.stdout) == (
        0,
        "1 rows: 1 created, 0 exists, 0 refused.\n     1 created, without a password.\n",
    )
    assert answer.stderr == "Warning: No user that was created has a password. Does the file have the hashes?\n"
    # Users that exist are no reason to warn.
    assert run("kratos", bare).stderr == ""


@pytest.mark.parametrize("where", ["id", "email", "name"])
def test_a_lone_surrogate_refuses_its_entry_and_no_other(settings: Settings, tmp_path: Path, where: str) -> None:
    fields = {"id": "k", "email": "odd@example.org", "name": "Odd", where: "\ud800"}
    odd = {"id": fields.pop("id"), "traits": fields, "\udfff": "\udfff"}
    answer = run("kratos", write(tmp_path / "some.json", [odd, kratos() | {"id": "l"}]), "--json")
    assert answer.exit_code == 3
    assert [(one["row"], one["code"]) for one in json.loads(answer.stdout)["refusals"]] == [(1, "unreadable_entry")]
    assert list(users(settings)) == [ANN]


def test_names_from_a_file_cannot_draw_on_the_terminal(tmp_path: Path, settings: Settings) -> None:
    entry = {"id": "k", "traits": {"email": ANN}, "\x1b[31mred": 1}
    answer = run(
        "kratos", write(tmp_path / "some.json", [entry, {**entry, "id": "l", "traits": {"username": "\x1b["}}])
    )
    assert "\x1b" not in answer.output
    assert "     1 with \\x1b[31mred, which is not imported." in answer.stdout
    assert list(users(settings)) == [ANN]
