import base64
import hashlib
import hmac
import json
import re
from base64 import b64encode
from pathlib import Path
from threading import active_count
from time import monotonic, thread_time

import argon2
import bcrypt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from doorward.core.passwords import formats
from doorward.core.passwords.formats import HashCost, HashTooCostly, UnsupportedHash, parser
from doorward.core.passwords.hashing import HashComparison, Hasher, PasswordMatch
from harness import CHEAP

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "hashes.json").read_text())
HASHER = Hasher(CHEAP)
SALT = "c2l4dGVlbiBieXRlcyBvZg"
DIGEST = "q22jzdDtRjfohIEIMfKJanIvRXXYKKusY2iccZ8f7R4"
BCRYPT = "CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"
each_vector = pytest.mark.parametrize("vector", VECTORS, ids=lambda v: f"{v['maker']}: {v['hash'][:24]}")


@each_vector
def test_PW8_a_hash_of_another_system_tells_its_password_and_is_to_be_made_anew(vector: dict[str, str]) -> None:
    assert HASHER.match(vector["password"], vector["hash"]) == PasswordMatch(right=True, outdated=True)


@each_vector
@pytest.mark.parametrize("change", [lambda p: p + " ", lambda p: p[:-1], lambda p: p.swapcase(), lambda _: ""])
def test_PW8_no_other_password_is_right_for_it(vector: dict[str, str], change: object) -> None:
    assert callable(change)
    assert HASHER.match(change(vector["password"]), vector["hash"]) == PasswordMatch(right=False)


@each_vector
def test_PW3_a_hash_is_not_its_own_password(vector: dict[str, str]) -> None:
    assert not HASHER.match(vector["hash"], vector["hash"]).right


@each_vector
def test_a_hash_of_which_one_character_was_changed_is_right_no_more(vector: dict[str, str]) -> None:
    text = vector["hash"]
    # Near the beginning of the last part: its digest, or for some formats its salt or key. Firebase's example ends with
    # its separator, ASP.NET's hash is one part.
    last = max(text.rfind(mark) for mark in "$:}") + 3
    place = text.index("lSrf") if "lSrf" in text else last if last > len("$P$") else len(text) - 40
    changed = text[:place] + ("A" if text[place] != "A" else "B") + text[place + 1 :]
    assert not HASHER.match(vector["password"], changed).right


def test_every_format_has_a_vector() -> None:
    unproven = [form.pattern for form, _ in parser._FORMS if not any(form.fullmatch(v["hash"]) for v in VECTORS)]
    assert unproven == []


def test_what_is_hashed_here_with_the_parameters_of_today_is_not_made_anew() -> None:
    assert HASHER.match("pw", HASHER.hash("pw")) == PasswordMatch(right=True, outdated=False)


EXTREME = [
    f"$argon2id$v=19$m=4294967295,t=1,p=1${SALT}${DIGEST}",
    f"$argon2id$v=19$m=1048577,t=1,p=1${SALT}${DIGEST}",
    f"$argon2id$v=19$m=65536,t=4294967295,p=1${SALT}${DIGEST}",
    f"$argon2id$v=19$m=65536,t=65,p=1${SALT}${DIGEST}",
    f"$argon2d$v=19$m=99999999999999999999,t=1,p=1${SALT}${DIGEST}",
    f"argon2$argon2id$v=19$m=4194304,t=1,p=1${SALT}${DIGEST}",
    f"$2b$17${BCRYPT}",
    f"$2a$31${BCRYPT}",
    f"$wp$2y$17${BCRYPT}",
    f"{{BLF-CRYPT}}$2y$17${BCRYPT}",
    "$P$S" + "." * 30,
    f"scrypt:1048576:8:2$salt${'0' * 64}",
    f"pbkdf2:sha256:10000001$salt${'0' * 64}",
    "AQAAAAH/////AAAAE" + "A" * 67,
    f"bcrypt_sha256$$2b$31${BCRYPT}",
    f"$scrypt$ln=31,r=8,p=1${SALT}${DIGEST}",
    f"$scrypt$ln=21,r=8,p=1${SALT}${DIGEST}",
    f"$scrypt$ln=1073741824,r=8,p=1${SALT}${DIGEST}",
    f"$scrypt$ln=99999999999999999999,r=8,p=1${SALT}${DIGEST}",
    f"$scrypt$ln=14,r=99999999,p=1${SALT}${DIGEST}",
    f"$scrypt$ln=14,r=8,p=4294967295${SALT}${DIGEST}",
    f"scrypt$1073741824$salt$8$1${DIGEST}",
    f"$7$X6..../....{SALT}${'.' * 43}",
    f"$firebase-scrypt$ln=31,r=8${SALT}${DIGEST}${DIGEST}$Bw",
    f"$firebase-scrypt$ln=99999999999999999999,r=8${SALT}${DIGEST}${DIGEST}$Bw",
    f"$pbkdf2-sha256$4294967295${SALT}${DIGEST}",
    f"$pbkdf2-sha512$i=10000001${SALT}${DIGEST}",
    f"pbkdf2_sha256$99999999999999999999$salt${DIGEST}",
]
"""Hashes that would keep a thread for minutes, or take the memory of the machine."""


RAISABLE = [
    f"$argon2id$v=19$m=262144,t=3,p=1${SALT}${DIGEST}",
    f"$argon2id$v=19$m=524288,t=2,p=32${SALT}${DIGEST}",
    f"$argon2id$v=19$m=1048576,t=4,p=1${SALT}${DIGEST}",
    f"$2b$15${BCRYPT}",
    f"$2b$16${BCRYPT}",
    "$P$G" + "." * 30,
    f"$scrypt$ln=18,r=8,p=1${SALT}${DIGEST}",
    f"$scrypt$ln=20,r=8,p=1${SALT}${DIGEST}",
    f"$pbkdf2-sha512$i=2000001${SALT}${DIGEST}",
    f"pbkdf2_sha256$10000000$salt${DIGEST}",
]
"""Hashes that only an operator lets in: libsodium's and Kratos' with much memory, and those of cautious systems."""


@pytest.mark.parametrize("text", RAISABLE)
def test_F23_an_operator_may_raise_the_bounds_of_cost(text: str) -> None:
    with pytest.raises(HashTooCostly):
        formats.parse_hash(text)
    raised = formats.parse_hash(text, formats.RAISED)
    # Logins read it without being told.
    assert HASHER.parse(text).stored == text
    assert HASHER.cost(text) == raised.cost
    assert raised.cost.seconds < 6.5


@pytest.mark.parametrize(("separator", "fits"), [(26, True), (27, False)])
def test_S8_salt_and_separator_of_firebase_are_a_salt_together(separator: int, *, fits: bool) -> None:
    salt, behind = (b64encode(bytes(size)).decode().rstrip("=") for size in (102, separator))
    text = f"$firebase-scrypt$ln=4,r=8${salt}${DIGEST}${DIGEST}${behind}"
    if fits:
        assert callable(formats.parse_hash(text).compare)
    else:
        with pytest.raises(UnsupportedHash):
            formats.parse_hash(text)


def test_F23_a_hash_beyond_the_standard_bounds_is_compared_once_it_is_stored() -> None:
    text = argon2.PasswordHasher(1, formats.STANDARD.memory // 1024 + 64, 32).hash("pw")
    with pytest.raises(HashTooCostly):
        formats.parse_hash(text)
    assert HASHER.match("pw", text) == PasswordMatch(right=True, outdated=True)


@pytest.mark.parametrize(("lanes", "memory"), [(32, 256), (64, 512), (1000, 8000)])
def test_F23_lanes_bound_threads_and_not_acceptance(lanes: int, memory: int) -> None:
    stored = argon2.PasswordHasher(1, memory, lanes).hash("pw")
    threads = active_count()
    assert HASHER.match("pw", stored).right
    assert active_count() == threads


@pytest.mark.parametrize("name", ["sha1", "sha256", "sha512"])
def test_F23_one_block_of_a_long_derived_key_is_computed_and_compared(name: str) -> None:
    key = hashlib.pbkdf2_hmac(name, b"pw", b"sixteen bytes of", 1000, 128)
    text = f"$pbkdf2-{name}$i=1000,l=128${SALT}${base64.b64encode(key).decode()}"
    assert HASHER.match("pw", text).right
    assert not HASHER.match("pw ", text).right
    short = f"$pbkdf2-{name}$i=1000${SALT}${base64.b64encode(key[:16]).decode()}"
    assert HASHER.parse(text).cost == HASHER.parse(short).cost
    changed = base64.b64encode(bytes([key[0] ^ 1]) + key[1:]).decode()
    assert not HASHER.match("pw", f"$pbkdf2-{name}$i=1000,l=128${SALT}${changed}").right


@pytest.mark.parametrize("text", EXTREME)
def test_PW8_a_hash_of_hostile_cost_is_refused_before_anything_is_computed(text: str) -> None:
    began = monotonic()
    with pytest.raises(HashTooCostly) as refused:
        formats.parse_hash(text)
    assert refused.value.code == "hash_too_costly"
    # Computing one of these takes many seconds, or fails for want of memory.
    assert monotonic() - began < 2


@pytest.mark.parametrize("text", EXTREME)
def test_PW8_a_hostile_hash_that_is_stored_all_the_same_is_not_computed_either(text: str) -> None:
    began = monotonic()
    assert HASHER.match("pw", text) == PasswordMatch(right=False)
    assert monotonic() - began < 2


REALISTIC = [
    f"$argon2id$v=19$m=65536,t=3,p=4${SALT}${DIGEST}",
    f"$argon2id$v=19$m=131072,t=8,p=16${SALT}${DIGEST}",
    f"$argon2id$v=19$m=131072,t=1,p=32${SALT}${DIGEST}",
    f"$pbkdf2-sha1$i=1300000${SALT}${'A' * 86}",
    f"pbkdf2:sha256:1000000$salt${'0' * 64}",
    f"scrypt:32768:8:1$salt${'0' * 128}",
    "$P$B" + "." * 30,
    f"argon2$argon2id$v=19$m=102400,t=2,p=8${SALT}${DIGEST}",
    f"$2b$14${BCRYPT}",
    f"$scrypt$ln=17,r=8,p=1${SALT}${DIGEST}",
    f"$scrypt$ln=16384,r=8,p=1${SALT}${DIGEST}",
    f"scrypt$16384$salt$8$5${DIGEST}",
    f"pbkdf2_sha256$1200000$salt${DIGEST}",
    f"$pbkdf2-sha512$i=210000${SALT}${'A' * 86}",
    f"$pbkdf2-sha1$i=20000,l=64${SALT}${'A' * 86}",
]


@pytest.mark.parametrize("text", REALISTIC)
def test_PW8_the_cost_that_systems_have_by_default_is_accepted(text: str) -> None:
    assert callable(formats.parse_hash(text).compare)


UNREADABLE = [
    "",
    "correct horse battery staple",
    "!unusable",
    "5f4dcc3b5aa765d61d8327deb882cf99",
    "{MD5}X03MO1qnZdYdgyfeuILPmQ==",
    "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9",
    "{SHA256}W6ph5Mm5Pz8GgiULbPgzG37mj9g=",
    "{SSHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=",
    "{SSHA}not base64",
    "$1$salt$hash",
    f"$2b$03${BCRYPT}",
    f"$2x$10${BCRYPT}",
    f"$2b$10${BCRYPT}A",
    f"$argon2id$v=18$m=256,t=2,p=1${SALT}${DIGEST}",
    f"$argon2id$v=19$m=256,t=0,p=1${SALT}${DIGEST}",
    f"$argon2id$v=19$m=256,t=2,p=0${SALT}${DIGEST}",
    f"$argon2id$v=19$m=7,t=2,p=1${SALT}${DIGEST}",
    f"$argon2id$v=19$m=256,t=2,p=1,data=AAAA${SALT}${DIGEST}",
    f"$argon2id$v=19$m=256,t=2,p=1$c2FsdA${DIGEST}",
    f"$argon2id$v=19$m=256,t=2,p=1${SALT}$c2hvcnQ",
    f"$argon2id$v=19$m=65536,t=1,p=8193${SALT}${DIGEST}",
    f"$argon2i$v=19$m=65536,t=1,p=16777215${SALT}${DIGEST}",
    "$sha256$pf=e1NBTFR9$c2FsdA==$q22jzdDtRjfohIEIMfKJanIvRXXYKKusY2iccZ8f7R4=",
    "$hmac-sha256$/////w==$a2V5",
    "md5$salt$" + "0" * 40,
    "sha1$salt$" + "0" * 32,
    "sha256$salt$" + "0" * 40,
    "$P$B" + "." * 29,
    "$P$4" + "." * 30,
    "AQAAAAMAACcQAAAAE" + "A" * 67,
    "AQAAAAEAACcQAAAA/" + "A" * 67,
    "AQAAAAEAAAAAAAAAE" + "A" * 67,
    f"$fbscrypt$v=2,n=14,r=8,p=1,ss=Bw==,sk={DIGEST}${SALT}${DIGEST}",
    f"$argon2id$v=19$m=-1,t=2,p=1${SALT}${DIGEST}",
    f"$argon2id$v=19$m=\u0661\u0662\u0668,t=2,p=1${SALT}${DIGEST}",
    f"$argon2id$v=19$m=256,t=2,p=1${SALT}${DIGEST}\n",
    f"$scrypt$ln=0,r=8,p=1${SALT}${DIGEST}",
    f"$scrypt$ln=10,r=0,p=1${SALT}${DIGEST}",
    f"$scrypt$ln=10,r=8,p=0${SALT}${DIGEST}",
    f"$scrypt$ln=1000,r=8,p=1${SALT}${DIGEST}",
    f"$pbkdf2-sha256$0${SALT}${DIGEST}",
    f"$pbkdf2-md5$1000${SALT}${DIGEST}",
    f"$pbkdf2-sha256$i=1000,l=64${SALT}${DIGEST}",
    f"pbkdf2_sha256$1000${'s' * 129}${DIGEST}",
    f"pbkdf2_sha256$1000$salt${DIGEST}$",
    f"$pbkdf2-sha256$1000${SALT}${'A' * 1024}",
    f"$firebase-scrypt$ln=14,r=8${SALT}${DIGEST}$$Bw",
]


@pytest.mark.parametrize("text", UNREADABLE)
def test_PW8_what_is_no_hash_is_refused_and_matches_nothing(text: str) -> None:
    with pytest.raises(UnsupportedHash) as refused:
        formats.parse_hash(text)
    assert refused.value.code == "hash_unreadable"
    assert HASHER.match(text, text) == PasswordMatch(right=False)


@given(st.sampled_from(VECTORS), st.data())
def test_a_hash_that_is_damaged_is_refused_or_harmless(vector: dict[str, str], data: st.DataObject) -> None:
    text = vector["hash"]
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 3)))
    damaged = text[:start] + data.draw(st.text("0123456789$=,.{}AZaz/+-_\u00e9 \0", max_size=3)) + text[end:]
    try:
        compare = formats.parse_hash(damaged).compare
    except UnsupportedHash:
        return
    # Larger numbers may have come of it: what is read is compared only where it stays quick.
    if max(map(int, re.findall("[0-9]+", damaged[:40])), default=0) < 3000 and "firebase" not in damaged:
        assert compare(b"certainly another password") is False


def test_a_ready_hash_is_compared_with_the_exact_bytes_and_an_argon2id_hash_in_normal_form() -> None:
    composed, decomposed = "\u00e9", "e\u0301"
    for kind, alike in ((argon2.Type.I, False), (argon2.Type.ID, True)):
        stored = argon2.PasswordHasher(1, 64, 1, type=kind).hash(composed)
        assert HASHER.match(composed, stored).right
        assert HASHER.match(decomposed, stored).right is alike


@pytest.mark.parametrize("prefix", ["", "bcrypt$", "{bcrypt}", "{BLF-CRYPT}", "{CRYPT}", "$backend-auth"])
@pytest.mark.parametrize("letter", ["a", "\u00e9"])
def test_F22_a_password_that_its_system_cut_at_72_bytes_is_right_once_and_hashed_in_full(
    prefix: str, letter: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    password = letter * 80
    stored = prefix + bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(4)).decode()
    assert HASHER.match(password, stored) == PasswordMatch(right=True, outdated=True)
    [record] = caplog.records
    assert record.getMessage().startswith("long password verified by its first 72 bytes")
    assert record.__dict__["algorithm"] == "bcrypt"
    assert password not in record.getMessage()
    renewed = HASHER.hash(password)
    assert HASHER.match(password, renewed) == PasswordMatch(right=True)
    assert not HASHER.match(password[:-1] + "b", renewed).right
    # A password of 72 bytes, and a wrong one, are nothing to note.
    caplog.clear()
    assert HASHER.match("x" * 72, bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4)).decode()).right
    assert not HASHER.match("x" + password, stored).right
    assert caplog.records == []


@pytest.mark.parametrize("system", ["Django", "WordPress"])
def test_PW2_every_byte_counts_where_the_system_hashed_the_password_before(
    system: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    password = "a" * 100
    if system == "Django":
        pre, prefix = hashlib.sha256(password.encode()).hexdigest().encode(), "bcrypt_sha256$"
    else:
        pre, prefix = base64.b64encode(hmac.digest(b"wp-sha384", password.encode(), "sha384")), "$wp"
    stored = prefix + bcrypt.hashpw(pre, bcrypt.gensalt(4)).decode()
    assert HASHER.match(password, stored).right
    assert not HASHER.match(password[:-1] + "b", stored).right
    assert caplog.records == []


def mcf(power: int, block: int, lanes: int) -> str:
    """Return a hash in the spelling of crypt(3)."""
    digits = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    numbers = "".join(digits[number >> 6 * place & 63] for number in (block, lanes) for place in range(5))
    return f"$7${digits[power]}{numbers}salt${'.' * 43}"


def scrypt_forms(power: int, block: int) -> list[str]:
    """Return hashes of N = 2^power in every format of scrypt."""
    return [
        f"$scrypt$ln={power},r={block},p=1${SALT}${DIGEST}",
        f"$scrypt$ln={1 << power},r={block},p=1${SALT}${DIGEST}",
        f"scrypt${1 << power}$salt${block}$1${DIGEST}",
        f"$firebase-scrypt$ln={power},r={block}${SALT}${DIGEST}${DIGEST}$Bw",
        mcf(power, block, 1),
    ]


@pytest.mark.parametrize("text", [*scrypt_forms(20, 1), *scrypt_forms(16, 1)])
def test_S8_a_scrypt_hash_beyond_the_bound_of_RFC_7914_is_no_hash(text: str) -> None:
    with pytest.raises(UnsupportedHash) as refused:
        formats.parse_hash(text)
    assert refused.value.code == "hash_unreadable"
    assert HASHER.match("pw", text) == PasswordMatch(right=False)


@pytest.mark.parametrize("text", scrypt_forms(15, 1))
def test_S8_a_scrypt_hash_at_the_bound_is_compared(text: str) -> None:
    assert formats.parse_hash(text).compare(b"pw") is False


@pytest.mark.parametrize(("power", "block", "lanes"), [(1, 32_768, 1), (1, 1, 32_768), (5, 32, 1024), (10, 1, 1024)])
def test_S8_no_accepted_parameters_are_too_much_for_the_library(power: int, block: int, lanes: int) -> None:
    text = f"$scrypt$ln={power},r={block},p={lanes}${SALT}${DIGEST}"
    assert formats.parse_hash(text).compare(b"pw") is False


def test_S8_a_comparison_that_fails_is_no_match_and_is_logged_without_the_hash(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(_secret: bytes) -> bool:
        raise ValueError("CANARY")

    against = HashComparison("$scrypt$CANARY", fail, HashCost("scrypt/27", 0.1))
    assert HASHER.compare("pw", against) == PasswordMatch(right=False)
    [record] = caplog.records
    assert record.message == "password comparison failed, treated as a wrong password"
    assert (record.__dict__["algorithm"], record.__dict__["error"]) == ("scrypt/27", "ValueError")
    assert "CANARY" not in repr(record.__dict__)


# --- cost ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lanes", [1, 4, 16])
def test_S1_a_hash_of_many_lanes_is_computed_by_one_thread(lanes: int) -> None:
    stored = argon2.PasswordHasher(1, 16_384, lanes).hash("pw")
    comparison = HASHER.parse(stored)
    began = thread_time()
    assert comparison.compare(b"pw")
    # By lanes in threads of their own, this thread would only wait.
    assert thread_time() - began > 0.1 * comparison.cost.seconds


@pytest.mark.parametrize("kind", argon2.Type)
@pytest.mark.parametrize("version", [16, 19])
def test_argon2_of_every_kind_and_version_matches_what_the_library_made(kind: argon2.Type, version: int) -> None:
    stored = argon2.low_level.hash_secret(b"pw", b"sixteen bytes of", 2, 256, 2, 32, kind, version).decode()
    for text in {stored, stored.replace("$v=16", "")} if version == 16 else {stored}:
        assert HASHER.match("pw", text).right
        assert not HASHER.match("pw ", text).right


COSTS = [
    (f"$argon2id$v=19$m=19456,t=2,p=1${SALT}${DIGEST}", "argon2/25", 0.0195, 19_456 << 10),
    (f"$argon2id$v=19$m=65536,t=3,p=4${SALT}${DIGEST}", "argon2/27", 0.0983, 65_536 << 10),
    (f"$2b$12${BCRYPT}", "bcrypt", 0.2458, 0),
    (f"bcrypt_sha256$$2b$04${BCRYPT}", "bcrypt", 0.00096, 0),
    (f"$scrypt$ln=14,r=8,p=1${SALT}${DIGEST}", "scrypt/25", 0.0393, 128 * 8 * (16_384 + 3)),
    (f"pbkdf2_sha256$1200000$salt${DIGEST}", "pbkdf2/sha256", 0.3, 0),
    (f"$pbkdf2-sha512$i=210000${SALT}${'A' * 86}", "pbkdf2/sha512", 0.126, 0),
    (f"$pbkdf2-sha1$i=20000,l=64${SALT}${'A' * 86}", "pbkdf2/sha1", 0.005, 0),
    ("$P$B" + "." * 30, "phpass", 0.0037, 0),
    (f"{'0' * 32}:{'0' * 128}", "scrypt/26", 0.0794, 128 * 16 * (16_384 + 3)),
]


@pytest.mark.parametrize(
    ("power", "block", "bounds"),
    [(1, 1 << 19, formats.STANDARD), (2, 1 << 18, formats.STANDARD), (1, 1 << 22, formats.RAISED)],
)
def test_S1_scrypt_is_bounded_by_all_of_its_memory_and_not_by_its_table(
    power: int, block: int, bounds: formats.HashLimits
) -> None:
    with pytest.raises(HashTooCostly):
        formats.parse_hash(f"$scrypt$ln={power},r={block},p=1${SALT}${DIGEST}", bounds)


@pytest.mark.parametrize(("text", "algorithm", "seconds", "memory"), COSTS)
def test_S1_the_cost_of_a_hash_comes_from_its_parameters(
    text: str, algorithm: str, seconds: float, memory: int
) -> None:
    cost = formats.parse_hash(text).cost
    assert (cost.algorithm, cost.memory) == (algorithm, memory)
    assert cost.seconds == pytest.approx(seconds, rel=0.01)
