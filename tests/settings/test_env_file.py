"""The .env file: each line applies, or stops the start."""

from pathlib import Path

import pytest

from doorward.core.errors import CannotStart
from doorward.settings import Settings
from harness import KEY

CANARY = "CANARY7f3a9c"


def write(folder: Path, content: str | bytes, mode: int = 0o600) -> None:
    file = folder / ".env"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    file.chmod(mode)


def refusal(folder: Path, content: str | bytes) -> str:
    """Expect a refusal that repeats nothing of the file, and return its sentence."""
    write(folder, content)
    with pytest.raises(CannotStart) as reason:
        Settings.read({}, folder)
    assert CANARY not in str(reason.value)
    return str(reason.value)


def test_settings_come_from_dot_env_and_the_environment_wins(tmp_path: Path) -> None:
    write(tmp_path, f'# mine\nexport PORT=4000\nJWT_KEY="{KEY}"\nWORKERS=2\n\nDATA_DIR=${{HOME}}/x\n')
    given = Settings.read({"PORT": "5000"}, tmp_path)
    assert (given.port, given.workers, given.jwt_key) == (5000, 2, (("1", KEY),))
    assert given.data_dir == "${HOME}/x"


def test_CF4_dot_env_is_ours_so_every_unknown_name_in_it_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, f"COLOUR={CANARY}\n").startswith("COLOUR in .env is not a setting")


def test_CF4_a_bad_value_in_dot_env_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, "PORT=http\n") == "PORT has to be a whole number from 0 to 65535."


URL = f"postgresql://u:{CANARY}@127.0.0.1:1/x"
MALFORMED = {
    "a quote that is not closed": (f'DATABASE_URL="{URL}\n', 1),
    "a single quote that is not closed": (f"# stores\n\nDATABASE_URL='{URL}\n", 3),
    "a quote that the next line closes": (f'PORT=1\nDATABASE_URL="{URL}\nLOG_FORMAT="json"\n', 2),
    "a quote that the end of another line closes": (f'DATABASE_URL="{URL}\nHOST="\nPORT=1\n', 1),
    "a quote that a comment closes": (f'DATABASE_URL="{URL}\n# the "new" one\n', 1),
    "text after the quote": (f'PORT=1\r\n\r\n\r\nJWT_AUDIENCE="a" {CANARY}\r\n', 4),
    "no equals sign": (f"PORT=1\n{CANARY}\n", 2),
    "a colon instead": (f"DATABASE_URL: {URL}\n", 1),
    "a name alone": ("PORT\n", 1),
    "an export of nothing": ("PORT=1\nexport PORT\n", 2),
    "no name": (f"={CANARY}\n", 1),
    "a command": (f"set -a; PORT={CANARY}\n", 1),
    "a secret with padding on a line of its own": (f"PORT=1\n{CANARY}x==\n", 2),
    "a name in lower case": (f"port={CANARY}\n", 1),
    "a line of another kind of file": (f"[doorward]\nPORT={CANARY}\n", 1),
    "a merge conflict": (f"<<<<<<< HEAD\nPORT={CANARY}\n", 1),
    "the remains of a multi-line value": (f'DATABASE_URL="{URL}\n?sslmode=disable"\n', 1),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_F4_a_line_that_assigns_nothing_is_named_by_its_number(tmp_path: Path, name: str) -> None:
    content, line = MALFORMED[name]
    assert refusal(tmp_path, content) == (
        f".env, line {line}, is neither NAME=value nor a comment nor blank; a quote has to end on its line."
    )


@pytest.mark.parametrize("second", ["PORT=2", "export PORT=1", "PORT="])
def test_F4_a_setting_that_is_assigned_twice_is_refused(tmp_path: Path, second: str) -> None:
    said = refusal(tmp_path, f"PORT=1\n\n# again\n{second}\n")
    assert said == "PORT is in .env twice, on lines 1 and 4; remove one."


WELL_FORMED = {
    "Windows": "\ufeff# mine\r\n\r\nPORT=4000\r\nHOST=::1\r\n",
    "an old Mac": "PORT=4000\rHOST=::1\r",
    "no line end at the end": "PORT=4000\nHOST=::1",
    "a shell": "export PORT=4000\n export  HOST='::1'  # here\n",
    "quotes": "PORT=\"4000\" # here\nHOST='::1'\n",
    "spaces": "  PORT = 4000  \n\tHOST= ::1\n   \n",
    "a comment behind": "PORT=4000 # not 3000\nHOST=::1\n#PORT=1\n",
}


@pytest.mark.parametrize("name", WELL_FORMED)
def test_F4_what_editors_and_shells_write_is_read(tmp_path: Path, name: str) -> None:
    write(tmp_path, WELL_FORMED[name])
    given = Settings.read({}, tmp_path)
    assert (given.port, given.host) == (4000, "::1")


@pytest.mark.parametrize(
    "content", [b"JWT_AUDIENCE=caf\xe9\n", "PORT=4000\n".encode("utf-16"), b"\xff\xfe", b"PORT=1\n\x80\n"], ids=ascii
)
def test_F29_a_file_that_is_not_UTF_8_is_refused(tmp_path: Path, content: bytes) -> None:
    assert refusal(tmp_path, content) == ".env is not UTF-8 text."


def test_a_folder_of_this_name_is_no_file_of_settings(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()
    assert Settings.read({}, tmp_path) == Settings.read({}, tmp_path / "elsewhere")


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o666])
def test_S18_CF5_a_file_with_a_secret_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    write(tmp_path, f"PORT=4000\nJWT_KEY={KEY}\n", mode)
    with pytest.raises(CannotStart, match=r"^\.env can be read by every user of this machine; chmod 600 it\.$"):
        Settings.read({}, tmp_path)
    write(tmp_path, f"PORT=4000\nJWT_KEY={KEY}\n", 0o640)
    assert Settings.read({}, tmp_path).jwt_key == (("1", KEY),)


def test_S18_a_file_without_a_secret_may_be_read_by_others(tmp_path: Path) -> None:
    write(tmp_path, "PORT=4000\nJWT_KEY=\nJWT_KEY_FILE=\n", 0o644)
    assert Settings.read({}, tmp_path).port == 4000
