"""Users of other systems, from files in the shape those write: they log in with the passwords they had."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from doorward.cli import main
from doorward.core.model import User
from doorward.core.passwords import Hasher
from doorward.core.user_transfer import Newcomer, Unfit
from doorward.http.rows import read_row
from doorward.moving import others
from doorward.moving.others import UNREADABLE, FirebaseHashing
from doorward.settings import Settings
from doorward.stores import Stores
from harness import CHEAP, KEY, read_settings
from made import make_tenant
from moving.bringing import with_stores

FIXTURES = Path(__file__).parent / "fixtures"
PARAMETERS = FIXTURES / "firebase-parameters.txt"
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
    words = ["import", system, str(FIXTURES / file), "--tenant", tenant, *more, *options]
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
            "service-account": ("e5@users.invalid", "", False),
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
    assert answer.stdout == f"{len(expected)} users: {len(expected)} created\n"
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
    for file in ("kratos.json", "keycloak.json", "firebase.json"):
        assert run(SYSTEMS[file][0], file).exit_code == 0
    found = users(settings)
    assert json.loads(found["ann@example.org"].metadata or "")["traits"]["name"] == {"first": "Ann", "last": "Example"}
    assert json.loads(found["ann"].metadata or "")["attributes"] == {"locale": ["de"]}
    assert (found["ann"].sub, found["+4917012345"].sub) == ("e1", "fb2")
    ann = others.FirebaseHashing.read(PARAMETERS.read_text()).reader()(
        json.loads((FIXTURES / "firebase.json").read_text())["users"][0]
    )
    assert ann
    assert ann["scope"] == {"admin": True}


def kratos(*addresses: Any, **traits: str) -> dict[str, Any]:
    listed = [{"value": value, "verified": verified, "via": "email"} for value, verified in addresses]
    return {"id": "k", "traits": {"email": "ann@example.org", **traits}, "verifiable_addresses": listed}


def supabase(**columns: Any) -> dict[str, Any]:
    return {"id": "s", "email": "ann@example.org", **columns}


ANN = "ann@example.org"
FIREBASE = FirebaseHashing.read(PARAMETERS.read_text()).reader()
SAID: list[tuple[Any, dict[str, Any], bool | None]] = [
    (others.kratos, kratos((ANN, True)), True),
    (others.kratos, kratos((ANN, False)), False),
    (others.kratos, kratos(("ANN@example.org", True)), True),
    (others.kratos, kratos(("other@example.org", True)), None),
    (others.kratos, kratos(("other@example.org", True), (ANN, False)), False),
    (others.kratos, kratos(), None),
    (others.kratos, {"id": "k", "traits": {"email": ANN}}, None),
    (others.kratos, {**kratos((ANN, True)), "verifiable_addresses": [{"value": ANN}]}, False),
    (others.kratos, {**kratos(("+49170", False)), "traits": {"username": "ann"}}, False),
    (others.kratos, {**kratos(("+49170", True)), "traits": {"username": "ann"}}, None),
    (others.supabase, supabase(email_confirmed_at="2024-01-01", confirmed_at="2024-01-01"), True),
    (others.supabase, supabase(email_confirmed_at="", confirmed_at=""), False),
    (others.supabase, supabase(email_confirmed_at=None), False),
    (others.supabase, supabase(email_confirmed_at="", confirmed_at="2024-01-01", phone="4917"), False),
    (others.supabase, supabase(confirmed_at="2024-01-01"), True),
    (others.supabase, supabase(confirmed_at=""), False),
    (others.supabase, supabase(), None),
    (others.supabase, {"id": "s", "phone": "4917", "phone_confirmed_at": ""}, False),
    (others.supabase, {"id": "s", "phone": "4917", "phone_confirmed_at": "2024-01-01"}, None),
    (others.supabase, {"id": "s", "phone": "4917", "email_confirmed_at": ""}, None),
    (others.keycloak, {"id": "e", "username": "ann", "email": ANN, "emailVerified": True}, True),
    (others.keycloak, {"id": "e", "username": "ann", "email": ANN, "emailVerified": False}, False),
    (others.keycloak, {"id": "e", "username": "ann", "email": ANN}, None),
    (others.keycloak, {"id": "e", "username": "ann", "emailVerified": False}, None),
    (FIREBASE, {"localId": "f", "email": ANN, "emailVerified": True}, True),
    (FIREBASE, {"localId": "f", "email": ANN, "emailVerified": False}, False),
    (FIREBASE, {"localId": "f", "email": ANN}, None),
    (FIREBASE, {"localId": "f", "phoneNumber": "+4917", "emailVerified": False}, None),
]


@pytest.mark.parametrize(("reader", "entry", "expected"), SAID, ids=lambda one: getattr(one, "__name__", None))
def test_F14_every_system_says_whether_an_address_was_verified(
    reader: Any, entry: dict[str, Any], *, expected: bool | None
) -> None:
    row = reader(entry)
    assert row.get("emailVerified") is expected
    read = read_row(row)
    assert isinstance(read, Newcomer)
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
    read = others.django_with(entries)
    assert [read(one) for one in addresses] == [None] * len(addresses)
    row = read(entries[-1])
    assert row
    assert row.get("emailVerified") is expected


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
    assert (told["rows"], told["unconfirmed"]) == (2, 1)
    answer = run(system, file, *options)
    assert answer.exit_code == 0, answer.output
    treated = {None: "disabled (--unconfirmed disable)", "admit": "let in", "skip": "left out"}[choice]
    assert f"1 with an e-mail address that was never verified: {treated}" in answer.stdout
    found = users(settings)
    assert {login: user.disabled for login, user in found.items()} == {
        **({} if choice == "skip" else {ANN: choice is None}),
        "ben@example.org": False,
    }
    assert [bool(user.email_verified_at) for user in found.values()] == [False] * (len(found) - 1) + [True]


@pytest.mark.parametrize(
    ("reader", "entry", "missing"),
    [
        (others.kratos, {**kratos((ANN, True)), "credentials": {"password": {"identifiers": [ANN]}}}, "traits"),
        (others.kratos, kratos((ANN, True)), "id"),
        (FIREBASE, {"localId": "f", "email": ANN, "emailVerified": True}, "localId"),
        (others.supabase, supabase(), "id"),
        (others.keycloak, {"id": "e", "username": "ann", "email": ANN}, "id"),
        (others.keycloak, {"id": "e", "username": "ann", "email": ANN}, "username"),
        (others.django, {"id": 1, "username": "ann", "email": ANN, "password": "!"}, "id"),
        (others.django, {"id": 1, "username": "ann", "email": ANN, "password": "!"}, "password"),
    ],
    ids=lambda one: one if isinstance(one, str) else getattr(one, "__name__", ""),
)
def test_T9_an_entry_without_what_names_its_user_is_none(reader: Any, entry: dict[str, Any], missing: str) -> None:
    assert reader(entry)
    with pytest.raises(UNREADABLE):
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
    entries: list[Any] = json.loads((FIXTURES / "kratos.json").read_text())
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
    assert "  5. 'eve': The password hash demands more" in run("kratos", file).stdout


@pytest.mark.parametrize(
    ("system", "content", "tenant", "sentence"),
    [
        ("kratos", "{", TENANT.email, "is neither CSV nor JSON"),
        ("django", "[" * 100_000, TENANT.email, "is neither CSV nor JSON"),
        ("keycloak", "[]", "nobody@example.org", "There is no tenant nobody@example.org"),
    ],
)
@pytest.mark.usefixtures("settings")
def test_what_cannot_be_done_is_one_sentence(
    tmp_path: Path, system: str, content: str, tenant: str, sentence: str
) -> None:
    file = tmp_path / "file.json"
    file.write_text(content)
    answer = run(system, file, tenant=tenant)
    assert answer.exit_code == 1
    assert answer.stderr.startswith("doorward cannot import. ")
    assert answer.stderr.endswith(f"{sentence}.\n")


@pytest.mark.parametrize(
    "reader", [others.kratos, others.supabase, others.keycloak, others.django], ids=lambda one: one.__name__
)
@pytest.mark.parametrize(
    "entry", [None, 1, "x", [], {}, {"id": {}}, {"fields": 1, "pk": 1}, {"traits": 7, "id": 1}], ids=repr
)
def test_no_entry_breaks_a_reader_in_another_way(reader: Any, entry: Any) -> None:
    try:
        row = reader(entry)
    except UNREADABLE:
        return
    assert isinstance(read_row(row), Unfit)


def test_T9_an_entry_without_what_identifies_it_is_unreadable() -> None:
    firebase = others.FirebaseHashing.read(PARAMETERS.read_text()).reader()
    kratos_entry = json.loads((FIXTURES / "kratos.json").read_text())[0]
    firebase_entry = json.loads((FIXTURES / "firebase.json").read_text())["users"][0]
    for reader, entry, name in ((others.kratos, kratos_entry, "traits"), (firebase, firebase_entry, "localId")):
        assert reader(entry)
        with pytest.raises(UNREADABLE):
            reader({key: value for key, value in entry.items() if key != name})


def test_firebase_parameters_have_to_be_whole(tmp_path: Path, settings: Settings) -> None:
    assert FirebaseHashing.read(PARAMETERS.read_text()).rounds == 8
    half = tmp_path / "half.txt"
    half.write_text("hash_config { rounds: 8 }")
    words = [
        "import",
        "firebase",
        str(FIXTURES / "firebase.json"),
        "--tenant",
        TENANT.email,
        "--hash-parameters",
        str(half),
    ]
    answer = CliRunner().invoke(main, words)
    assert answer.exit_code == 2
    assert "base64_signer_key' is missing" in answer.stderr
    assert users(settings) == {}
