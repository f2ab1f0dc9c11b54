"""Settings: parsing, rejected values, and errors that repeat no value."""

import base64
import multiprocessing
import secrets
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from doorward.core.errors import CannotStart
from doorward.services import _budgets as budgets
from doorward.settings import Settings, describe
from doorward.settings.values import EVERY_ADDRESS, LOOPBACK
from harness import KEY

CANARY = "CANARY7f3a9c"
NEXT = "Qm9yLTItZGlmZmVyZW50LWtleS1mb3ItdGVzdHMtb25seQ=="


def read(folder: Path, **environment: str) -> Settings:
    return Settings.read(environment, folder)


def refusal(folder: Path, environment: Mapping[str, str]) -> str:
    """Expect a refusal and return its sentence."""
    with pytest.raises(CannotStart) as reason:
        Settings.read(environment, folder).with_master_key()
    return str(reason.value)


# --- defaults -----------------------------------------------------------------------------------------------------


def test_CF3_the_defaults_are_those_of_production(tmp_path: Path) -> None:
    given = read(tmp_path)
    assert given.host == "127.0.0.1"
    assert given.tenant_white_list == LOOPBACK
    assert (given.throttler_white_list, given.trusted_proxies, given.cors_origins) == ((), (), ())
    assert (given.throttler_interval, given.throttler_max) == (1000, 5)
    assert (given.existing_login, given.login_errors) == ("reject", "distinct")
    assert (given.hash_memory, given.hash_passes, given.hash_lanes) == (19_456, 2, 1)
    assert (given.jwt_key_exp, given.tenant_jwt_exp, given.sessions_per_user) == (604_800, None, 100)
    assert given.budget_verify == (1000, 2000)
    assert given.log_level == "info"


def test_every_default_is_accepted_when_it_is_written_out(tmp_path: Path) -> None:
    written = {item["name"]: item["default"] for item in describe()}
    assert Settings.read(written, tmp_path) == Settings.read({}, tmp_path)


def test_describe_lists_every_setting_in_order_with_its_meaning() -> None:
    assert [item["name"] for item in describe()] == [item.name.upper() for item in fields(Settings) if item.metadata]
    for item in describe():
        assert set(item) == {"name", "default", "meaning"}
        assert item["meaning"].endswith(".")


def test_the_predecessors_names_are_still_settings() -> None:
    names = {item["name"] for item in describe()}
    assert names >= {
        *("PORT", "REDIS_URL", "JWT_KEY", "JWT_KEY_EXP", "TENANT_WHITE_LIST", "THROTTLER_WHITE_LIST"),
        *("THROTTLER_INTERVAL", "THROTTLER_MAX", "THROTTLER_MIN_DIFF"),
    }


# --- master keys --------------------------------------------------------------------------------------------------

WEAK = [
    "short",
    "x" * 31,
    "a" * 64,
    "ab" * 32,
    "0123456789" * 4,
    "abcdefghijklmnopqrstuvwxyz0123456789",
    "0123456789abcdef0123456789abcdef",
    "changeme-changeme-changeme-changeme-x",
    "ChangeMe!ChangeMe!1234567890abcdXYZ",
    "please-change-this-to-something-secret",
    "your-256-bit-secret-your-256-bit-secret",
    "your-secret-key-goes-here-0a1b2c3d4e5f",
    "my-super-secret-jwt-key-do-not-share-1",
    "supersecretsupersecretsupersecret12345",
    "this-is-the-jwt-secret-of-production-1",
    "correct-Password-123456789-for-signing",
    "insecure-development-key-9f8e7d6c5b4a3",
    "example-key-from-the-tutorial-3f9a8b7c",
    "keyboard-cat-keyboard-cat-3f9a8b7c61",
    "shhhhhhhhhh-this-is-a-jwt-key-41729305",
    "Am3-F13l4G-0a1b2c3d4e5f6g7h8i9j0k1l2m3n",
    "deadbeefcafebabe-1f2e3d4c5b6a79880a1b2",
    "qwertyuiopasdfghjklzxcvbnm147258369021",
    secrets.token_hex(8) * 4,
    "112212112221211122121112221121212211",
]


# From src/config.ts of backend-auth, up to its last version.
PREDECESSORS = "uZrJ!xe*xN?!;oU.u*;QOSM+|=4C?WH?6eWPcK/6AkIXIVGQguSA*r"
PUBLISHED = [
    PREDECESSORS,
    PREDECESSORS.lower(),
    f"{PREDECESSORS}:{PREDECESSORS}",
    "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",
    "404E635266556A586E3272357538782F413F4428472B4B6250645367566B5970",
    "413F4428472B4B6250655368566D5970337336763979244226452948404D6351",
    "5367566B59703373367639792F423F4528482B4D6251655468576D5A71347437",
    "3cfa76ef14937c1c0ea519f8fc057a80fcd04a7420f8e8bcd0a7567c272e007b",
    "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
    "hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG-Onbc6mxCcYg",
    "a-string-secret-at-least-256-bits-long",
]
HARDLY_VARIED = [
    "abcdefghij1" * 3 + "abc",
    "k" * 40 + "0123456789ghij",
    "3f9a8b7c61d20e54" * 2 + "3f9a8b7c",
    "Kx9" * 15,
]
ENCODED = [
    base64.b64encode(b"my super secret key of production").decode(),
    base64.urlsafe_b64encode(b"ThisIsMyCustomSecretKey012345678").decode(),
    b"change me before going live".hex(),
]
WEAK += [*PUBLISHED, *HARDLY_VARIED, *ENCODED]


@pytest.mark.parametrize("key", WEAK, ids=range(len(WEAK)))
@pytest.mark.parametrize("form", ["{}", "1:{}", "7:{},8:" + KEY, "8:" + KEY + ",7:{}"])
def test_CF1_a_key_that_can_be_guessed_is_refused_without_being_repeated(tmp_path: Path, key: str, form: str) -> None:
    said = refusal(tmp_path, {"JWT_KEY": form.format(key)})
    assert said.startswith("JWT_KEY has to be ")
    assert "openssl rand -base64 32" in said
    assert key not in said
    assert KEY not in said


@pytest.mark.parametrize("blank", [" " * 48, "\t" * 32, "\n \n", "\u00a0" * 40])
def test_S9_CF1_a_key_of_blanks_is_given_and_refused(tmp_path: Path, blank: str) -> None:
    for name in ("JWT_KEY", "LEGACY_JWT_KEY", "DATABASE_URL", "REDIS_URL"):
        assert refusal(tmp_path, {name: blank}) == f"{name} is blank; remove it, or give it a value."
    (tmp_path / ".env").write_text(f'JWT_KEY="{" " * 48}"\n')
    (tmp_path / ".env").chmod(0o600)
    assert "JWT_KEY is blank" in refusal(tmp_path, {})


@pytest.mark.parametrize("text", [",", " , ,", '"",""'])
def test_S9_a_list_of_keys_without_a_key_is_refused(tmp_path: Path, text: str) -> None:
    assert refusal(tmp_path, {"JWT_KEY": text}).startswith("JWT_KEY has to be ")


@pytest.mark.parametrize("key", [*PUBLISHED, *HARDLY_VARIED, *ENCODED, "changeme", "a" * 64, "secretkey"])
def test_S9_a_legacy_key_that_can_be_guessed_is_used_with_a_warning(tmp_path: Path, key: str) -> None:
    given = read(tmp_path, LEGACY_JWT_KEY=key)
    assert given.legacy_jwt_key == key
    [warning] = given.warnings
    assert warning.startswith("LEGACY_JWT_KEY was published or can be guessed")
    assert key not in warning
    assert read(tmp_path, LEGACY_JWT_KEY="Zk3-pW8q.hT1").warnings == ()


@pytest.mark.parametrize("length", [1, 16, 31])
def test_CF1_a_key_of_less_than_32_bytes_is_refused(tmp_path: Path, length: int) -> None:
    key = base64.b85encode(secrets.token_bytes(64)).decode().replace(":", "").replace(",", "")[:length]
    assert "at least 32 bytes" in refusal(tmp_path, {"JWT_KEY": key})


@pytest.mark.parametrize(
    "keys",
    [
        f"1:{KEY},1:{NEXT}",
        f"{KEY},{NEXT}",
        f"1:{KEY},{NEXT}",
        f"{KEY},2:{NEXT}",
        f"1:{KEY}\n1:{NEXT}",
        f"a b c {KEY} d",
    ],
)
def test_CF1_key_lists_that_are_ambiguous_are_refused(tmp_path: Path, keys: str) -> None:
    said = (
        refusal(tmp_path, {"JWT_KEY": keys}) if " " not in keys else refusal(tmp_path, {"JWT_KEY": f"x:{keys},{KEY}"})
    )
    assert said.startswith("JWT_KEY has to be ")
    assert KEY not in said
    assert NEXT not in said


def test_KR1_several_keys_are_kept_in_order_and_one_alone_is_number_one(tmp_path: Path) -> None:
    assert read(tmp_path, JWT_KEY=KEY).jwt_key == (("1", KEY),)
    assert read(tmp_path, JWT_KEY=f"2:{NEXT}, 1:{KEY}").jwt_key == (("2", NEXT), ("1", KEY))
    assert read(tmp_path, JWT_KEY=f"2:{NEXT}\n1:{KEY}\n").jwt_key == (("2", NEXT), ("1", KEY))
    assert read(tmp_path, JWT_KEY=f"{KEY}\n").jwt_key == (("1", KEY),)


@hypothesis_settings(max_examples=100)
@given(st.integers(32, 64))
def test_what_common_commands_make_is_accepted(length: int) -> None:
    for text in (
        base64.b64encode(secrets.token_bytes(length)).decode(),
        secrets.token_urlsafe(length),
        secrets.token_hex(length),
        "".join(secrets.choice("!#$%&()*+-./:;<=>?@[]^_{|}~") for _ in range(length)),
    ):
        assert read(Path("/nowhere"), JWT_KEY=f"1:{text}").jwt_key == (("1", text),)


def test_CF2_two_fresh_installations_have_different_keys(tmp_path: Path) -> None:
    keys = [read(tmp_path, DATA_DIR=str(tmp_path / name)).with_master_key() for name in ("one", "two")]
    assert keys[0] != keys[1]
    for [(kid, key)] in keys:
        assert kid == "1"
        assert len(base64.b64decode(key, validate=True)) == 32


def test_CF2_a_key_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    given = read(tmp_path, DATA_DIR=str(tmp_path / "new" / "data"))
    first = given.with_master_key()
    assert given.with_master_key() == first
    kept = tmp_path / "new" / "data" / "master.key"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in kept.parent.iterdir()] == ["master.key"]


def test_a_key_that_is_given_is_used_and_none_is_made(tmp_path: Path) -> None:
    assert read(tmp_path, DATA_DIR=str(tmp_path / "data"), JWT_KEY=KEY).with_master_key() == (("1", KEY),)
    assert not (tmp_path / "data").exists()


def _make(folder: str, start: "multiprocessing.synchronize.Barrier", found: "multiprocessing.Queue[str]") -> None:
    start.wait(30)
    found.put(repr(Settings.read({"DATA_DIR": folder}, Path(folder)).with_master_key()))


@pytest.mark.slow
def test_CF2_processes_that_start_at_once_agree_on_one_key(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    start, found = context.Barrier(6), context.Queue()
    starters = [context.Process(target=_make, args=(str(tmp_path / "data"), start, found)) for _ in range(6)]
    for starter in starters:
        starter.start()
    keys = {found.get(timeout=60) for _ in starters}
    for starter in starters:
        starter.join(30)
    assert len(keys) == 1
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["master.key"]


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o660, 0o644])
def test_CF5_a_kept_key_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    given = {"DATA_DIR": str(tmp_path)}
    Settings.read(given, tmp_path).with_master_key()
    kept = tmp_path / "master.key"
    key = kept.read_text().strip()
    kept.chmod(mode)
    said = refusal(tmp_path, given)
    assert "chmod 600" in said
    assert key.split(":")[1] not in said


@pytest.mark.parametrize("content", ["short", f"1:{KEY},1:{KEY}", "a" * 64, "\xe9" * 40])
def test_a_kept_key_that_is_none_is_refused(tmp_path: Path, content: str) -> None:
    kept = tmp_path / "master.key"
    kept.write_text(content, encoding="utf-8")
    kept.chmod(0o600)
    said = refusal(tmp_path, {"DATA_DIR": str(tmp_path)})
    assert said.startswith("JWT_KEY: ")
    assert content not in said


def test_a_data_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert refusal(tmp_path, {"DATA_DIR": str(tmp_path / "file" / "data")}).startswith("DATA_DIR: ")


# --- values -------------------------------------------------------------------------------------------------------

BAD: dict[str, list[str]] = {
    "PORT": ["-1", "65536", "3000.0", "3e3", "0x10", "\u0663\u0660", "1_0", "tcp://10.0.0.1:3000", "1" * 5000],
    "HOST": ["*", "0.0.0.0,127.0.0.1", "[::1]", "<broadcast>", "a b"],
    "WORKERS": ["0", "65", "-1", "two"],
    "JWT_KEY_EXP": ["0", "-1", "7 d", "7w", "1.5h", "d", "9999999999", "forever", "3651d"],
    "TENANT_JWT_EXP": ["-1", "never", "1y"],
    "SESSIONS_PER_USER": ["0", "-5", "many", "100001"],
    "DATABASE_URL": ["mysql://u:p@h/d", "doorward.db", "sqlite://x", "SQLITE:///x", "sqlite:///:memory:"],
    "TENANT_WHITE_LIST": [
        "10.0.0.0/33",
        "10.0.0",
        "::1/129",
        "localhost",
        "10.0.0.1-10.0.0.9",
        "10.0.0.1 10.0.0.2",
        "**",
    ],
    "THROTTLER_WHITE_LIST": ["300.1.1.1"],
    "TRUSTED_PROXIES": ["proxy.example.org", "10.0.0.0/-1"],
    "CORS_ORIGINS": [
        "*",
        "null",
        "shop.example.org",
        "https://app.example.org/",
        "https://a b",
        "ftp://x",
        "https://u@x",
    ],
    "EXISTING_LOGIN": ["overwrite"],
    "LOGIN_ERRORS": ["same"],
    "THROTTLER_INTERVAL": ["0", "1s", "86400001"],
    "THROTTLER_MAX": ["-1", "five"],
    "BUDGET_LOGIN": ["0", "0:10", "1001", "10:", ":10", "10:20:30", "-1:5", "1.5", "10:0"],
    "BUDGET_VERIFY": ["100001", "0", "5000:0"],
    "HASH_MEMORY": ["8", "19455", "65537", "19456KiB"],
    "HASH_PASSES": ["0", "1", "11"],
    "HASH_LANES": ["0", "5"],
    "HASH_THREADS": ["-1", "65"],
    "LOG_LEVEL": ["trace"],
    "LOG_FORMAT": ["xml"],
    "DOCS": ["true", "1"],
    "MAX_CONNECTIONS": ["0", "-1"],
}
ANY_TEXT = {
    "HTTPS_CERT",
    "HTTPS_KEY",
    "MAINTAIN_TLS_PEM",
    "MAINTAIN_TLS_CA",
    "MAINTAIN_TLS_CA_CN",
    "HOST",
    "DATA_DIR",
    "JWT_AUDIENCE",
    "LEGACY_JWT_KEY",
    "ALLOWED_HOSTS",
    "FORWARD_AUTH_COOKIE",
}
BAD_PAIRS = [(name, value) for name, values in BAD.items() for value in values]


@pytest.mark.parametrize(("name", "value"), BAD_PAIRS, ids=lambda text: ascii(text)[:24])
def test_CF4_a_bad_value_is_refused_by_name_and_not_repeated(tmp_path: Path, name: str, value: str) -> None:
    said = refusal(tmp_path, {name: value})
    assert said.startswith(f"{name} has to be ")
    if len(value) > 6:
        assert value not in said


@pytest.mark.parametrize(
    "name",
    [item["name"] for item in describe() if item["name"] not in ANY_TEXT],
)
def test_CF4_no_refusal_repeats_what_was_given(tmp_path: Path, name: str) -> None:
    for environment in ({name: CANARY}, {f"{name}_FILE": str(tmp_path / "nothing")}):
        said = refusal(tmp_path, environment)
        assert name in said
        assert CANARY not in said
        assert str(tmp_path / "nothing") not in said


def test_F6_a_database_without_a_file_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, {"DATABASE_URL": "sqlite:///"}).startswith("DATABASE_URL has to be sqlite:///path")


@pytest.mark.parametrize("empty", ["", "  "])
@pytest.mark.parametrize("name", [item["name"] for item in describe()])
def test_F6_an_empty_setting_is_not_given(tmp_path: Path, name: str, empty: str) -> None:
    default = Settings.read({}, tmp_path)
    secret = name in {"JWT_KEY", "LEGACY_JWT_KEY", "DATABASE_URL", "REDIS_URL"}
    environments: list[dict[str, str]] = [{name: ""}, {f"{name}_FILE": ""}]
    if not secret:
        (tmp_path / "empty").write_text(empty)
        environments += [{name: empty}, {f"{name}_FILE": str(tmp_path / "empty")}]
    for environment in environments:
        assert Settings.read(environment, tmp_path) == default
    (tmp_path / ".env").write_text(f"{name}=\n{name}_FILE=''\n")
    assert Settings.read({}, tmp_path) == default


def test_F6_an_empty_variable_leaves_the_word_to_the_env_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PORT=4000\nHOST=::1\n")
    given = read(tmp_path, PORT="", HOST="", LOG_LEVEL="")
    assert (given.port, given.host, given.log_level) == (4000, "::1", "info")


@pytest.mark.parametrize("value", [",", " , ", '""', "''", '"", ""'])
@pytest.mark.parametrize("name", ["ALLOWED_HOSTS", "TRUSTED_PROXIES", "TENANT_WHITE_LIST", "CORS_ORIGINS"])
def test_F6_a_list_without_an_item_is_refused_where_none_would_mean_any(tmp_path: Path, name: str, value: str) -> None:
    assert refusal(tmp_path, {name: value}) == f"{name} has to be a list with at least one item, or left out."


WORDS = {
    "LOG_LEVEL": ("INFO", "info"),
    "LOG_FORMAT": ("Json", "json"),
    "EXISTING_LOGIN": ("Replace", "replace"),
    "ACCESS_LOG": ("ERRORS", "errors"),
    "DOCS": ("Off", "off"),
    "BUDGET_LOGIN": ("OFF", (0, 0)),
    "METRICS_PORT": ("Off", None),
    "TENANT_JWT_EXP": ("None", None),
}


@pytest.mark.parametrize("name", WORDS)
def test_F6_words_are_taken_in_any_case(tmp_path: Path, name: str) -> None:
    word, meaning = WORDS[name]
    assert getattr(read(tmp_path, **{name: word}), name.lower()) == meaning


@pytest.mark.parametrize(("word", "meaning"), [("enabled", "on"), ("disabled", "off"), ("Enabled", "on")])
def test_C13_a_switch_is_understood_as_the_predecessor_spells_it(tmp_path: Path, word: str, meaning: str) -> None:
    given = read(tmp_path, HTTPS_SERVER=word, HTTPS_CERT="cert.pem", DOCS=word)
    assert (given.https_server, given.docs) == (meaning, meaning)


@pytest.mark.parametrize("text", ['"127.0.0.1","10.0.0.0/8"', '"127.0.0.1,10.0.0.0/8"', "'127.0.0.1', '10.0.0.0/8'"])
@pytest.mark.parametrize("name", ["TENANT_WHITE_LIST", "THROTTLER_WHITE_LIST"])
def test_C13_a_white_list_may_be_quoted(tmp_path: Path, name: str, text: str) -> None:
    networks = getattr(read(tmp_path, **{name: text}), name.lower())
    assert [str(network) for network in networks] == ["127.0.0.1/32", "10.0.0.0/8"]


@pytest.mark.parametrize("where", ["environment", ".env"])
@pytest.mark.parametrize(("value", "warned"), [("enabled", True), ("true", True), ("disabled", False), ("", False)])
def test_C13_FORCE_HTTPS_is_warned_about(tmp_path: Path, where: str, value: str, *, warned: bool) -> None:
    environment = {"FORCE_HTTPS": value} if where == "environment" else {}
    if where == ".env":
        (tmp_path / ".env").write_text(f"FORCE_HTTPS={value}\n")
    assert [text[:26] for text in Settings.read(environment, tmp_path).warnings] == [
        "FORCE_HTTPS has no effect:"
    ] * warned


def test_values_are_read_as_they_are_meant(tmp_path: Path) -> None:
    given = read(
        tmp_path,
        PORT=" 0 ",
        JWT_KEY_EXP="12h",
        TENANT_JWT_EXP="30d",
        TENANT_WHITE_LIST="10.1.2.3/8, ::1 ,192.0.2.1",
        THROTTLER_WHITE_LIST="*",
        TRUSTED_PROXIES="::ffff:10.0.0.0/104, ::ffff:192.0.2.1",
        CORS_ORIGINS="https://App.example.org:443, http://localhost:3000,http://[::1]:80",
        ALLOWED_HOSTS="Auth.Example.ORG, localhost:3000",
        BUDGET_LOGIN="10",
        BUDGET_WRITE="5:50",
        BUDGET_VERIFY="off",
        DATABASE_URL="sqlite:////var/lib/x.db",
    )
    assert (given.port, given.jwt_key_exp, given.tenant_jwt_exp) == (0, 43_200, 2_592_000)
    assert [str(network) for network in given.tenant_white_list] == ["10.0.0.0/8", "::1/128", "192.0.2.1/32"]
    assert given.throttler_white_list == EVERY_ADDRESS
    assert [str(network) for network in given.trusted_proxies] == ["10.0.0.0/8", "192.0.2.1/32"]
    assert given.cors_origins == ("https://app.example.org", "http://localhost:3000", "http://[::1]")
    assert given.allowed_hosts == ("auth.example.org", "localhost:3000")
    assert (given.budget_login, given.budget_write, given.budget_verify) == ((10, 10), (5, 50), (0, 0))
    assert given.database_path == Path("/var/lib/x.db")
    assert read(tmp_path, DATA_DIR="/data").database_path == Path("/data/doorward.db")


@pytest.mark.parametrize("name", ["TENANT_WHITE_LIST", "TRUSTED_PROXIES", "METRICS_WHITE_LIST", "THROTTLER_WHITE_LIST"])
def test_a_bad_item_of_a_list_is_named_by_its_place(tmp_path: Path, name: str) -> None:
    said = refusal(tmp_path, {name: "192.0.2.1, 10.0.0.0/33,::1"})
    assert said == (
        f"{name} has to be addresses or networks (CIDR) separated by commas, * for any, or none; item 2 is none of these."
    )
    assert "item 3" in refusal(tmp_path, {"CORS_ORIGINS": "https://a.example,https://b.example,c.example"})


def test_a_host_with_a_prefix_is_a_network_and_a_warning_names_it(tmp_path: Path) -> None:
    given = read(tmp_path, TENANT_WHITE_LIST="::1,10.0.0.5/24", TRUSTED_PROXIES="2001:db8::7/32,192.0.2.0/24")
    assert [str(network) for network in given.tenant_white_list] == ["::1/128", "10.0.0.0/24"]
    tail = "write that, or the address without a prefix."
    assert set(given.warnings) == {
        f"TENANT_WHITE_LIST, item 2, has address bits beyond its prefix and is read as the network 10.0.0.0/24: {tail}",
        f"TRUSTED_PROXIES, item 1, has address bits beyond its prefix and is read as the network 2001:db8::/32: {tail}",
    }


@pytest.mark.parametrize("value", ["*", "0.0.0.0/0", "10.0.0.1,::/0"])
def test_trusting_every_address_as_a_proxy_is_warned_about(tmp_path: Path, value: str) -> None:
    [warning] = read(tmp_path, TRUSTED_PROXIES=value).warnings
    assert warning.startswith("TRUSTED_PROXIES contains every address")


def test_a_gateways_budget_of_verifications_may_exceed_one_a_millisecond(tmp_path: Path) -> None:
    given = read(tmp_path, BUDGET_VERIFY="5000:5000", BUDGET_WRITE="1000")
    assert (given.budget_verify, given.budget_write) == ((5000, 5000), (1000, 1000))
    assert budgets(given).verify.period == 0.2
    said = refusal(tmp_path, {"BUDGET_WRITE": "5000"})
    assert "a rate from 1 to 1000 a second and a burst from 1 to 9999999" in said


@pytest.mark.parametrize("value", ["", "0", "off", "none"])
def test_a_tenants_token_lives_until_revoked_unless_told_otherwise(tmp_path: Path, value: str) -> None:
    assert read(tmp_path, TENANT_JWT_EXP=value).tenant_jwt_exp is None


# --- files --------------------------------------------------------------------------------------------------------


def secret_file(folder: Path, content: str, mode: int = 0o600) -> str:
    path = folder / "secret"
    path.write_text(content)
    path.chmod(mode)
    return str(path)


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_CF5_a_secret_can_come_out_of_a_file(tmp_path: Path, mode: int) -> None:
    given = read(tmp_path, JWT_KEY_FILE=secret_file(tmp_path, f"{KEY}\n", mode))
    assert given.jwt_key == (("1", KEY),)


def test_CF5_every_setting_can_come_out_of_a_file(tmp_path: Path) -> None:
    environment = {}
    for item in describe():
        if item["default"]:
            path = tmp_path / item["name"]
            path.write_text(item["default"] + "\n")
            environment[f"{item['name']}_FILE"] = str(path)
    assert Settings.read(environment, tmp_path) == Settings.read({}, tmp_path)


@pytest.mark.parametrize("mode", [0o604, 0o644, 0o606, 0o601])
def test_CF5_a_secret_that_everybody_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    said = refusal(tmp_path, {"JWT_KEY_FILE": secret_file(tmp_path, KEY, mode)})
    assert said == "JWT_KEY_FILE can be read by every user of this machine; chmod 600 it."


def test_CF5_what_is_no_secret_may_be_read_by_everybody(tmp_path: Path) -> None:
    assert read(tmp_path, PORT_FILE=secret_file(tmp_path, "8080\n", 0o644)).port == 8080


@pytest.mark.parametrize("content", ["", "\n", "  \n"])
def test_CF5_an_empty_secret_file_does_not_count_as_no_secret(tmp_path: Path, content: str) -> None:
    assert refusal(tmp_path, {"JWT_KEY_FILE": secret_file(tmp_path, content)}) == "JWT_KEY_FILE is empty."


def test_CF5_a_value_and_a_file_together_are_refused(tmp_path: Path) -> None:
    path = secret_file(tmp_path, KEY)
    assert (
        refusal(tmp_path, {"JWT_KEY": KEY, "JWT_KEY_FILE": path})
        == "JWT_KEY and JWT_KEY_FILE are both set; remove one."
    )
    (tmp_path / ".env").write_text(f"JWT_KEY={KEY}\n")
    (tmp_path / ".env").chmod(0o600)
    assert "both set" in refusal(tmp_path, {"JWT_KEY_FILE": path})


def test_CF5_a_file_that_cannot_be_read_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe" + CANARY.encode())
    (tmp_path / "binary").chmod(0o600)
    for path in (tmp_path / CANARY, tmp_path, tmp_path / "binary"):
        said = refusal(tmp_path, {"REDIS_URL_FILE": str(path)})
        assert said.startswith("REDIS_URL_FILE c")
        assert CANARY not in said


@pytest.mark.parametrize("name", ["JWT_KEY", "LEGACY_JWT_KEY"])
def test_F28_one_byte_order_mark_is_no_part_of_a_secret(tmp_path: Path, name: str) -> None:
    path = secret_file(tmp_path, "\ufeff" + KEY + "\r\n")
    given = read(tmp_path, **{f"{name}_FILE": path})
    assert {"JWT_KEY": given.jwt_key, "LEGACY_JWT_KEY": given.legacy_jwt_key}[name] in {(("1", KEY),), KEY}


def test_F28_the_kept_key_may_have_a_byte_order_mark(tmp_path: Path) -> None:
    kept = tmp_path / "master.key"
    kept.write_text(f"\ufeff1:{KEY}\r\n", encoding="utf-8", newline="")
    kept.chmod(0o600)
    assert read(tmp_path, DATA_DIR=str(tmp_path)).with_master_key() == (("1", KEY),)


@pytest.mark.parametrize("character", ["\x00", "\x07", "\x1b", "\x7f", "\x85", "\ufeff"])
def test_F28_other_control_characters_are_refused(tmp_path: Path, character: str) -> None:
    text = KEY[:20] + character + KEY[20:]
    said = "{} contains a control character, or is not UTF-8 text."
    assert refusal(tmp_path, {"JWT_KEY_FILE": secret_file(tmp_path, text)}) == said.format("JWT_KEY")
    assert refusal(tmp_path, {"JWT_AUDIENCE": f"a{character}b"}) == said.format("JWT_AUDIENCE")


def test_F28_a_variable_that_is_not_UTF_8_is_refused(tmp_path: Path) -> None:
    value = b"caf\xe9".decode(errors="surrogateescape")
    assert refusal(tmp_path, {"JWT_AUDIENCE": value}).startswith("JWT_AUDIENCE contains a control character, or is not")


def test_CF5_a_bad_value_out_of_a_file_is_not_repeated(tmp_path: Path) -> None:
    said = refusal(tmp_path, {"JWT_KEY_FILE": secret_file(tmp_path, CANARY)})
    assert said.startswith("JWT_KEY has to be ")
    assert CANARY not in said
