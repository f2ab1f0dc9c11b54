"""Round trips: an export of each system, imported and exported again without loss."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner, Result

from doorward.cli import main
from doorward.core.passwords.hashing import Hasher
from doorward.settings import Settings
from factories import make_tenant
from harness import CHEAP, KEY, read_settings
from imports.import_run import with_stores

EXPORTS = Path(__file__).parent / "exports"
TENANT = make_tenant(email="shop@example.org")
PASSWORD = "correct horse battery staple"
HASHER = Hasher(CHEAP)
SAYS_NOTHING: tuple[Any, ...] = (None, "", [], {}, "{}", False, 0, "0", "f", "false")


class Export(NamedTuple):
    """An export: what the command needs, how users are found in it, and which fields became one of a user's."""

    file: str
    options: list[str]
    users: Callable[[Any], list[dict[str, Any]]]
    sub: Callable[[dict[str, Any]], Any]
    became: set[str]
    passwords: dict[str, str]
    counts: dict[str, int]
    reasons: dict[str, dict[str, int]]


def pages(text: str) -> list[dict[str, Any]]:
    return [identity for line in text.split("\n") if line for identity in json.loads(line)]


def realm(text: str) -> list[dict[str, Any]]:
    users: list[dict[str, Any]] = next(realm["users"] for realm in json.loads(text) if realm["realm"] == "shop")
    return users


def table(text: str) -> list[dict[str, Any]]:
    return list(csv.DictReader(text.split("\n")))


def firebase_users(text: str) -> list[dict[str, Any]]:
    users: list[dict[str, Any]] = json.loads(text)["users"]
    return users


def customers(text: str) -> list[dict[str, Any]]:
    entries = json.loads(text) if text.startswith("[") else [json.loads(line) for line in text.split("\n") if line]
    return [entry["fields"] for entry in entries if entry["model"] == "shop.customer"]


FIREBASE = ["firebase", "--hash-parameters", str(EXPORTS / "firebase-parameters.txt")]
DJANGO = ["django", "--model", "shop.Customer", "--login-field", "email"]
FIREBASE_FIELDS = {"passwordHash", "salt", "emailVerified", "disabled", "customAttributes"}
DJANGO_FIELDS = {"password", "is_active"}
CUSTOMERS = {"ann@example.org": PASSWORD, "ben@example.org": PASSWORD, "cleo@example.org": ""}
FIREBASE_USERS = {"ann@example.org": "user1password", "+4917012345": ""}
SUPABASE_USERS = {"ann@example.org": PASSWORD, "ben@example.org": PASSWORD, "4917012345": PASSWORD}

ALL = [
    Export(
        "keycloak-realms.json",
        ["keycloak", "--realm", "shop"],
        realm,
        lambda user: user.get("id") or user["username"],
        {"enabled", "emailVerified"},
        {"ann": PASSWORD, "ben": PASSWORD, "cleo": PASSWORD, "dora": "", "emil": ""},
        {"rows": 7, "created": 5, "exists": 0, "refused": 0, "skipped": 2, "withoutPassword": 2},
        {
            "created": {
                "disabled": 1,
                "unconfirmed": 1,
                "without_password": 2,
                "temporary_password": 1,
                "plain_password": 1,
            },
            "skipped": {"service_account": 1, "federated_user": 1},
        },
    ),
    Export(
        "kratos-pages.ndjson",
        ["kratos"],
        pages,
        lambda user: user["id"],
        {"state", "verifiable_addresses"},
        {"ann@example.org": PASSWORD, "ben": PASSWORD, "cleo@example.org": ""},
        {"rows": 3, "created": 3, "exists": 0, "refused": 0, "skipped": 0, "withoutPassword": 1},
        {"created": {"disabled": 1, "without_password": 1}, "skipped": {}},
    ),
    Export(
        "supabase-users.csv",
        ["supabase"],
        table,
        lambda user: user["id"],
        {"encrypted_password", "banned_until", "email_confirmed_at", "confirmed_at", "phone_confirmed_at"},
        {**SUPABASE_USERS, "cleo@example.org": "mytestpassword"},
        {"rows": 6, "created": 4, "exists": 0, "refused": 0, "skipped": 2, "withoutPassword": 0},
        {"created": {"disabled": 1}, "skipped": {"deleted": 1, "anonymous": 1}},
    ),
    *(
        Export(
            file,
            FIREBASE,
            lambda _: firebase_users((EXPORTS / "firebase-users.json").read_text(encoding="utf-8")),
            lambda user: user["localId"],
            FIREBASE_FIELDS,
            FIREBASE_USERS,
            {"rows": 2, "created": 2, "exists": 0, "refused": 0, "skipped": 0, "withoutPassword": 1},
            {"created": {"disabled": 1, "without_password": 1}, "skipped": {}},
        )
        for file in ("firebase-users.json", "firebase-users.csv")
    ),
    *(
        Export(
            file,
            DJANGO,
            customers,
            lambda user: user["email"],
            DJANGO_FIELDS,
            CUSTOMERS,
            {"rows": 5, "created": 3, "exists": 0, "refused": 0, "skipped": 2, "withoutPassword": 1},
            {"created": {"disabled": 1, "without_password": 1}, "skipped": {"other_model": 2}},
        )
        for file in ("django-customers.json", "django-customers.jsonl")
    ),
]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A Doorward with one tenant."""
    monkeypatch.chdir(tmp_path)
    settings = read_settings(tmp_path / "data")
    assert with_stores(settings, lambda stores: stores.accounts.add_tenant(TENANT))
    return settings


def doorward(*words: str) -> Result:
    return CliRunner().invoke(main, words, env={"JWT_KEY": KEY, "DATA_DIR": "data", "NO_COLOR": None})


def bring_in(export: Export, *options: str) -> Result:
    system, *own = export.options
    return doorward("import", system, str(EXPORTS / export.file), "--tenant", TENANT.id, *own, *options)


def hand_out() -> dict[str, dict[str, Any]]:
    text = doorward("user", "export", "--tenant", TENANT.id, "--hashes").stdout
    return {user["sub"]: user for user in map(json.loads, text.split("\n")[:-1])}


def values_of(value: Any) -> list[Any]:
    """Return a value and everything inside it."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [value, *(one for part in inside for one in values_of(part))]


@pytest.mark.parametrize("export", ALL, ids=lambda export: export.file)
@pytest.mark.usefixtures("settings")
def test_F25_every_field_of_an_export_is_kept_or_moved_to_metadata_or_named(export: Export) -> None:
    answer = bring_in(export, "--json")
    assert answer.exit_code == 0, answer.output
    report, found = json.loads(answer.stdout), hand_out()
    named = {name.partition(".")[0] for name in report["notKept"]}
    entries = export.users((EXPORTS / export.file).read_text(encoding="utf-8"))
    known = [entry for entry in entries if export.sub(entry) in found]
    assert len(known) == len(found) == report["created"]
    for entry in known:
        user = found[export.sub(entry)]
        kept = values_of(user)
        for name, value in entry.items():
            if value in SAYS_NOTHING or name in named or name in {"credentials", "requiredActions"}:
                continue
            inner = json.loads(value) if isinstance(value, str) and value.startswith("{") else value
            assert inner in kept or name in export.became, f"{name} of {user['login']} is lost"
    # Credentials and actions are looked at one by one.
    for entry in known:
        credentials = entry.get("credentials") or []
        for one in credentials if isinstance(credentials, list) else credentials.values():
            assert one["type"] == "password" or f"credentials.{one['type']}" in report["notKept"]
        for action in entry.get("requiredActions") or []:
            assert action == "UPDATE_PASSWORD" or f"requiredActions.{action}" in report["notKept"]


@pytest.mark.parametrize("export", ALL, ids=lambda export: export.file)
@pytest.mark.usefixtures("settings")
def test_F25_users_of_an_export_have_their_passwords_and_the_report_counts_every_row(export: Export) -> None:
    dry = json.loads(bring_in(export, "--json", "--dry-run").stdout)
    report = json.loads(bring_in(export, "--json").stdout)
    assert dry == {**report, "dryRun": True}
    assert {name: report[name] for name in export.counts} == export.counts
    assert report["reasons"] == {**export.reasons, "refused": {}}
    found = {user["login"]: user for user in hand_out().values()}
    assert found.keys() == export.passwords.keys()
    for login, password in export.passwords.items():
        stored = found[login].get("passwordHash")
        assert (stored is not None) == bool(password)
        assert HASHER.match(password or "x", stored).right is bool(password)
    again = json.loads(bring_in(export, "--json").stdout)
    assert (again["created"], again["exists"]) == (0, report["created"])
    # What was exported comes in again as it is.
    exported = Path("users.ndjson")
    doorward("user", "export", "--tenant", TENANT.id, "--hashes", str(exported))
    other = make_tenant(id="b1946ac9-2f8f-4b0c-8e67-5d8f7a1c0e55", email="other@example.org")
    assert with_stores(read_settings(Path("data")), lambda stores: stores.accounts.add_tenant(other))
    repeated = json.loads(doorward("user", "import", "--tenant", other.id, "--json", str(exported)).stdout)
    assert (repeated["created"], repeated["refused"]) == (report["created"], 0)


@pytest.mark.usefixtures("settings")
def test_F12_a_ban_that_is_over_and_what_lies_ahead() -> None:
    assert bring_in(ALL[2]).exit_code == 0
    assert {user["login"]: user.get("disabled", False) for user in hand_out().values()} == {
        "ann@example.org": False,
        "ben@example.org": False,
        "cleo@example.org": True,
        "4917012345": False,
    }


@pytest.mark.usefixtures("settings")
def test_F38_F12_the_report_for_people_names_reasons_with_counts() -> None:
    answer = bring_in(ALL[0])
    assert answer.exit_code == 0
    assert answer.stdout.splitlines() == [
        "7 rows: 5 created, 0 exists, 0 refused, 2 left out.",
        "     1 created, disabled, as in the source system.",
        "     1 created, their passwords are plain text in the file, and were left out.",
        "     1 created, their temporary passwords were left out, since Doorward would not require new ones.",
        "     1 created, e-mail address never verified: disabled (--unconfirmed disable).",
        "     2 created, without a password.",
        "     1 left out: users of a directory, whose passwords are not in the source system.",
        "     1 left out: service accounts of clients.",
        "     1 with credentials.otp, which is not imported.",
        "     1 with notBefore, which is not imported.",
        "     1 with requiredActions.TERMS_AND_CONDITIONS, which is not imported.",
        "     1 with totp, which is not imported.",
    ]
    assert answer.stderr == ""
