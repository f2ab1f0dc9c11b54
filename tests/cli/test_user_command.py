import csv
import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from doorward.cli import main, rows
from doorward.cli.rows import ENDINGS, UnreadableFile, UnreadableRow, read_rows
from harness import KEY, Service, Tenant, read_settings, running

EMAIL = "shop@example.org"
VECTOR = json.loads((Path(__file__).parents[1] / "vectors" / "hashes.json").read_text())[0]
ALICE = {
    "login": "alice",
    "email": "alice@example.org",
    "sub": "s-1",
    "passwordHash": VECTOR["hash"],
    "scope": ["a", {"b": 1}],
    "company": 'Ex "Ltd", Z\u00fcrich',
}
BOB = {"login": "bob", "email": "bob@example.org", "sub": "s-2", "disabled": True}
CAROL = {"login": "carol", "email": "carol@example.org", "sub": "s-4", "emailVerified": True}
DISABLED = "     1 created, disabled, as in the source system.\n"
WITHOUT = "     1 created, without a password.\n"
BAD = {"login": "eve", "email": "nobody", "sub": "s-3"}


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """A service that runs while the command works on its stores."""
    monkeypatch.chdir(tmp_path)
    with running(read_settings(tmp_path)) as service:
        yield service


@pytest.fixture
def shop(service: Service) -> Tenant:
    return service.tenant(EMAIL)


def run(folder: Path, *words: str) -> Result:
    return command(folder, "user", *words)


def command(folder: Path, *words: str) -> Result:
    environment = {"DATA_DIR": str(folder), "JWT_KEY": KEY}
    return CliRunner().invoke(main, list(words), env=environment)


def write(path: Path, found: list[dict[str, Any]]) -> Path:
    if path.suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, sorted({name for row in found for name in row}))
            writer.writeheader()
            writer.writerows(
                {name: value if isinstance(value, str) else json.dumps(value) for name, value in row.items()}
                for row in found
            )
    elif path.suffix == ".json":
        path.write_text(json.dumps(found, indent=2, ensure_ascii=False), encoding="utf-8")
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in found), encoding="utf-8")
    return path


@pytest.mark.parametrize("ending", sorted(ENDINGS))
def test_users_of_a_file_log_in_with_the_passwords_they_had(tmp_path: Path, shop: Tenant, ending: str) -> None:
    file = write(tmp_path / f"users{ending}", [ALICE, BOB])
    result = run(tmp_path, "import", "--tenant", EMAIL, "--json", str(file))
    assert result.exit_code == 0, result.output
    counts = {"created": 2, "exists": 0, "refused": 0, "skipped": 0, "unconfirmed": 0, "withoutPassword": 1}
    reasons = {"created": {"disabled": 1, "without_password": 1}, "refused": {}, "skipped": {}}
    lists: dict[str, Any] = {"refusals": [], "partsLeftOut": [], "notKept": {}, "warnings": []}
    assert json.loads(result.stdout) == {"rows": 2, **counts, "reasons": reasons, **lists, "dryRun": False}
    found = shop.get("/user/alice").json()
    assert {name: found[name] for name in ("email", "sub", "scope", "company")} == {
        name: ALICE[name] for name in ("email", "sub", "scope", "company")
    }
    assert shop.get("/user/bob").json()["disabled"] is True
    assert shop.login("alice", VECTOR["password"]).status_code == 200


def test_an_import_that_is_repeated_goes_on_where_it_was_interrupted(tmp_path: Path, shop: Tenant) -> None:
    first = write(tmp_path / "first.ndjson", [ALICE])
    run(tmp_path, "import", "--tenant", EMAIL, str(first))
    result = run(tmp_path, "import", "--tenant", EMAIL, str(write(tmp_path / "all.ndjson", [ALICE, BOB])))
    assert (result.exit_code, result.stdout) == (0, f"2 rows: 1 created, 1 exists, 0 refused.\n{DISABLED}{WITHOUT}")
    assert len(shop.get("/user").json()["users"]) == 2


def test_a_dry_run_creates_nobody(tmp_path: Path, shop: Tenant) -> None:
    file = write(tmp_path / "users.ndjson", [ALICE, BAD])
    result = run(tmp_path, "import", "--tenant", EMAIL, "--dry-run", str(file))
    assert result.exit_code == 3
    assert result.stdout == (
        "2 rows: would be 1 created, 0 exists, 1 refused.\n"
        "     1 refused: validation_error.\n"
        "  row 2, 'eve': \"email\" must be a valid email\n"
    )
    assert shop.get("/user").json()["users"] == []


def test_refused_rows_end_with_3_and_are_told_in_a_file_of_the_owners(tmp_path: Path, shop: Tenant) -> None:
    file = tmp_path / "users.ndjson"
    lines = [json.dumps(row) for row in (ALICE, BAD, {**BOB, "passwordHash": "x"})]
    file.write_text("\n".join([*lines, "{no json", json.dumps({**BOB, "login": ""})]) + "\n")
    report = tmp_path / "refused.ndjson"
    result = run(tmp_path, "import", "--tenant", EMAIL, "--refused", str(report), str(file))
    assert (result.exit_code, result.stdout.splitlines()[0]) == (3, "5 rows: 1 created, 0 exists, 4 refused.")
    assert stat.S_IMODE(report.stat().st_mode) == 0o600
    told = [json.loads(line) for line in report.read_text().splitlines()]
    assert [(entry["row"], entry["login"], entry["code"]) for entry in told] == [
        (2, "eve", "validation_error"),
        (3, "bob", "hash_unreadable"),
        (4, None, "malformed_json"),
        (5, None, "validation_error"),
    ]
    assert told[-1]["sub"] == BOB["sub"]
    assert told[0]["error"] == '"email" must be a valid email'
    assert len(shop.get("/user").json()["users"]) == 1


@pytest.mark.parametrize("ending", [".csv", ".ndjson"])
@pytest.mark.parametrize(
    ("options", "note", "expected"),
    [
        ([], "     1 created, e-mail address never verified: disabled (--unconfirmed disable).", (True, False)),
        (
            ["--unconfirmed", "admit"],
            "     1 created, e-mail address never verified: can log in (--unconfirmed admit).",
            (False, False),
        ),
        (
            ["--unconfirmed", "skip"],
            "     1 left out: e-mail address never verified (--unconfirmed skip).",
            (None, False),
        ),
    ],
)
def test_F14_users_whose_address_was_never_verified_come_in_as_the_operator_says(
    tmp_path: Path, shop: Tenant, ending: str, options: list[str], note: str, expected: tuple[bool | None, bool | None]
) -> None:
    file = write(
        tmp_path / f"users{ending}", [{**ALICE, "emailVerified": False}, {**BOB, "disabled": False}, {**CAROL}]
    )
    result = run(tmp_path, "import", "--tenant", EMAIL, *options, str(file))
    assert result.exit_code == 0
    assert note in result.stdout.splitlines()
    users = {user["login"]: user for user in shop.get("/user").json()["users"]}
    assert users["carol"]["emailVerified"] is True
    assert all("emailVerified" not in users[login] for login in users if login != "carol")
    found = tuple(users[login].get("disabled", False) if login in users else None for login in ("alice", "bob"))
    assert found == expected
    again = run(tmp_path, "import", "--tenant", EMAIL, "--json", *options, str(file))
    assert json.loads(again.stdout)["unconfirmed"] == (1 if options[1:] == ["skip"] else 0)


def test_an_export_holds_everybody_and_only_with_hashes_a_way_back(tmp_path: Path, service: Service) -> None:
    shop, other = service.tenant(EMAIL), service.tenant("other@example.org")
    run(tmp_path, "import", "--tenant", EMAIL, str(write(tmp_path / "users.csv", [ALICE, BOB])))
    plain = run(tmp_path, "export", "--tenant", EMAIL)
    assert plain.exit_code == 0
    assert [json.loads(line)["login"] for line in plain.stdout.splitlines()] == ["alice", "bob"]
    assert VECTOR["hash"] not in plain.stdout
    assert plain.stdout == shop.get("/users/export").text
    file = tmp_path / "out.ndjson"
    assert run(tmp_path, "export", "--tenant", EMAIL, "--hashes", str(file)).exit_code == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert run(tmp_path, "import", "--tenant", "OTHER@example.org", str(file)).exit_code == 0
    assert other.login("alice", VECTOR["password"]).status_code == 200
    assert shop.get("/tenant/audit").json()["events"][0]["actor"] == "operator"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["import", "--tenant", EMAIL, "users.txt"], "its name has to end in .csv, .json, .jsonl, .ndjson"),
        (["import", "--tenant", EMAIL, "absent.csv"], "does not exist"),
        (["import", "users.ndjson"], "Missing option '--tenant'"),
        (["export", "--tenant", EMAIL, "no/such/folder.ndjson"], "cannot be written"),
    ],
)
def test_wrong_use_ends_with_2_and_says_why(tmp_path: Path, shop: Tenant, words: list[str], says: str) -> None:
    (tmp_path / "users.txt").touch()
    write(tmp_path / "users.ndjson", [ALICE])
    result = run(tmp_path, *words)
    assert result.exit_code == 2
    assert says in " ".join(result.stderr.split())
    assert shop.get("/user").json()["users"] == []


@pytest.mark.parametrize("name", ["nobody@example.org", "nobody", "00000000-0000-4000-8000-000000000000", ""])
def test_F35_an_unknown_tenant_is_one_sentence_for_every_command(tmp_path: Path, shop: Tenant, name: str) -> None:
    write(tmp_path / "users.ndjson", [ALICE])
    write(tmp_path / "users.json", [])
    for words in (
        ["user", "import", str(tmp_path / "users.ndjson")],
        ["user", "export"],
        ["user", "list"],
        ["import", "django", str(tmp_path / "users.json")],
    ):
        result = command(tmp_path, *words, "--tenant", name)
        assert result.exit_code == 1
        assert result.stderr.endswith(f"There is no tenant {name}.\n")
    assert shop.get("/user").json()["users"] == []


def test_F35_a_tenant_is_named_by_id_or_address_for_every_command(tmp_path: Path, shop: Tenant) -> None:
    rows = write(tmp_path / "users.ndjson", [ALICE])
    django = tmp_path / "users.json"
    django.write_text(
        json.dumps(
            [
                {
                    "model": "auth.user",
                    "pk": 7,
                    "fields": {"username": "dora", "email": "d@e.org", "password": "!", "is_active": True},
                }
            ]
        )
    )
    for number, name in enumerate((shop.id, EMAIL.upper())):
        for words in (
            ["user", "import", str(rows)],
            ["user", "export"],
            ["user", "list"],
            ["import", "django", str(django)],
        ):
            result = command(tmp_path, *words, "--tenant", name)
            assert result.exit_code == 0, (number, words, result.output)
    assert {one["login"] for one in shop.get("/user").json()["users"]} == {"alice", "dora"}


@pytest.mark.parametrize("spelling", ["TRUE", "True", "true", "FALSE", "False", "false"])
def test_F37_booleans_of_a_CSV_file_are_read_in_any_case(tmp_path: Path, shop: Tenant, spelling: str) -> None:
    file = tmp_path / "users.csv"
    file.write_text(f"login,email,sub,disabled,emailVerified\nalice,a@example.org,1,{spelling},{spelling}\n")
    assert run(tmp_path, "import", "--tenant", EMAIL, str(file), "--unconfirmed", "admit").exit_code == 0
    found = shop.get("/user/alice").json()
    assert (found.get("disabled", False), found.get("emailVerified", False)) == (spelling.lower() == "true",) * 2


@pytest.mark.parametrize("cell", ["yes", "1", "TRUE FALSE", '"TRUE"', "Null"])
def test_F37_what_is_no_boolean_is_refused(tmp_path: Path, shop: Tenant, cell: str) -> None:
    file = write(tmp_path / "users.csv", [{"login": "alice", "email": "a@example.org", "sub": "1", "disabled": cell}])
    assert run(tmp_path, "import", "--tenant", EMAIL, str(file)).exit_code == 3
    assert shop.get("/user").json()["users"] == []


def test_F36_a_dash_is_standard_output(tmp_path: Path, shop: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shop.create("alice")
    named = run(tmp_path, "export", "--tenant", EMAIL, "-")
    assert named.stdout == run(tmp_path, "export", "--tenant", EMAIL).stdout
    assert json.loads(named.stdout)["login"] == "alice"
    write(tmp_path / "bad.ndjson", [{"login": "bob"}])
    refused = run(tmp_path, "import", "--tenant", EMAIL, "bad.ndjson", "--refused", "-")
    assert json.loads(refused.stdout.splitlines()[0])["code"] == "validation_error"
    assert not (tmp_path / "-").exists()


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("users.json", b'{"users": []}', "The file has to contain one JSON array"),
        ("users.json", b'[{"login": "a"}', "The file ends"),
        ("users.json", b'[{"login": "a"} {"login": "b"}]', "is invalid within its array"),
        ("users.json", b'[{"login": ""}]\n[{"login": "b"}]', "The file has content after its array"),
        ("users.json", b"[]" + b" " * 70_000 + b"x", "The file has content after its array"),
        ("users.csv", b"login,email,sub,disabled,disabled\na,a@b,s,true,\n", "The first line has a duplicate column"),
        ("users.csv", b"name,email\nx,y\n", "including login"),
        ("users.csv", b'login,email,sub\n"x,y\n', "The file is not valid CSV"),
        ("users.ndjson", b"\xff\xfe{}\n", "The file is not UTF-8"),
        ("users.ndjson", b'"' + b"x" * (1 << 21) + b'"', "A line exceeds the maximum length of a row"),
    ],
)
def test_a_file_that_cannot_be_read_ends_with_1_and_says_why(
    tmp_path: Path, shop: Tenant, name: str, content: bytes, says: str
) -> None:
    (tmp_path / name).write_bytes(content)
    result = run(tmp_path, "import", "--tenant", EMAIL, str(tmp_path / name))
    assert result.exit_code == 1
    assert says in result.stderr
    assert shop.get("/user").json()["users"] == []


def test_help_tells_the_exit_codes() -> None:
    for command in ("import", "export"):
        text = " ".join(CliRunner().invoke(main, ["user", command, "--help"]).output.split())
        assert "Exit codes: 0" in text
        assert "2 wrong usage" in text


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 64])
@pytest.mark.parametrize(
    "found", [[], [ALICE], [ALICE, BOB, BAD], [1, 23, "]", [], {}, None, True, -4.5e6, '\\"', [[["\u00e9,"]]]]]
)
def test_a_json_array_is_read_the_same_whatever_the_pieces(
    monkeypatch: pytest.MonkeyPatch, piece: int, found: list[Any]
) -> None:
    monkeypatch.setattr(rows, "_PIECE", piece)
    for text in (json.dumps(found), json.dumps(found, indent=3, ensure_ascii=False)):
        assert list(read_rows(BytesIO(text.encode()), ".json")) == found


def test_what_parsers_could_understand_differently_is_no_row() -> None:
    for ending, text in ((".json", '[{"login": "a", "login": "b"}, {}]'), (".ndjson", '{"a": NaN}\n{}\n')):
        first, second = read_rows(BytesIO(text.encode()), ending)
        assert isinstance(first, UnreadableRow)
        assert second == {}


def test_F8_a_row_of_CSV_has_as_many_cells_as_there_are_columns() -> None:
    text = b'login,email,sub,disabled\na,a@b,s,true\n\nb,b@b,s\nc,c@b,s,true,x\nd,"d\r\n@b",s,\n'
    first, short, long, last = read_rows(BytesIO(text), ".csv")
    assert first == {"login": "a", "email": "a@b", "sub": "s", "disabled": True}
    assert isinstance(short, UnreadableRow)
    assert isinstance(long, UnreadableRow)
    assert last == {"login": "d", "email": "d\r\n@b", "sub": "s"}


def test_an_element_without_an_end_is_given_up() -> None:
    with pytest.raises(UnreadableFile):
        list(read_rows(BytesIO(b'["' + b"x" * (3 << 20) + b'"]'), ".json"))


@pytest.mark.slow
def test_a_large_file_takes_no_more_memory_than_a_few(tmp_path: Path) -> None:
    environment = {"DATA_DIR": str(tmp_path), "JWT_KEY": KEY, "PATH": ""}
    with running(read_settings(tmp_path)) as service:
        service.tenant(EMAIL)

    def peak(count: int) -> int:
        file = tmp_path / f"{count}.json"
        with file.open("w") as out:
            out.write("[")
            for n in range(count):
                found = {"login": f"u{count}-{n}", "email": "a@example.org", "sub": "s", "metadata": "m" * 200}
                out.write(("," if n else "") + json.dumps(found))
            out.write("]")
        code = (
            "import resource, sys\n"
            "from doorward.cli import main\n"
            "try: main()\n"
            "finally: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)\n"
        )
        command = [sys.executable, "-c", code, "user", "import", "--json", "--tenant", EMAIL, str(file)]
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, timeout=110, check=False)
        assert done.returncode == 0, done.stderr.decode()
        assert json.loads(done.stdout)["created"] == count
        return int(done.stderr.split()[-1])

    count = 100_000 if os.environ.get("DOORWARD_TORTURE") else 20_000
    few, many = peak(1000), peak(count)
    # Kilobytes: the rows take more than a tenth of one each in the file alone, and several when they are read.
    assert many - few < count / 4


@pytest.mark.parametrize("ending", [".csv", ".json", ".ndjson"])
def test_IN5_F9_F10_F11_rows_with_names_that_no_user_is_given_are_refused_and_counted(
    tmp_path: Path, shop: Tenant, ending: str
) -> None:
    names = ["..", "%2e", "bob ", " ", "b  b", "bo\u034fb", "bob\u200d", "bob\ufe0f"]
    users = [{"login": name, "email": "a@b", "sub": "s"} for name in names]
    users += [ALICE, {"login": "carol", "email": "c\u034f@example.org", "sub": "s"}]
    refused = tmp_path / "refused.ndjson"
    answer = run(
        tmp_path,
        "import",
        "--tenant",
        EMAIL,
        "--json",
        "--refused",
        str(refused),
        str(write(tmp_path / f"u{ending}", users)),
    )
    assert answer.exit_code == 3
    found = json.loads(answer.stdout)
    assert (found["rows"], found["created"], found["refused"]) == (10, 1, 9)
    told = [json.loads(line) for line in refused.read_text().splitlines()]
    assert [one["row"] for one in told] == [1, 2, 3, 4, 5, 6, 7, 8, 10]
    assert {one["code"] for one in told} == {"validation_error"}
    assert [user["login"] for user in shop.get("/user").json()["users"]] == ["alice"]
