"""Password hashes in the formats of other systems: strict parsing, cost bounds, comparison.

Parsing costs microseconds. A comparison costs what the maker of the hash chose, up to the bounds below; `Cost` is the
estimate of it.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable
from typing import ClassVar, NamedTuple

import bcrypt
from argon2.exceptions import HashingError
from argon2.low_level import Type, core, error_to_str, ffi

LONGEST = 1024
"""The most characters a hash may have."""

ARGON2_MEMORY = 1 << 17
"""KiB; and the most passes times KiB below it. What the service's own settings allow lies within both."""

ARGON2_WORK = 1 << 20
ARGON2_LANES = 16
SCRYPT_MEMORY = 1 << 27
"""Bytes (128 N r), and the most N r p, below it."""

SCRYPT_WORK = 1 << 20
PBKDF2_WORK = 2_000_000
"""Iterations, counted for each block of the derived key."""

LEGACY = "$backend-auth"
"""What stands before a bcrypt string that the predecessor made, because it is compared by the predecessor's rules."""

BCRYPT_MIN_COST = 4
BCRYPT_MAX_COST = 14
BCRYPT_MAX_BYTES = 72

_SALTS = range(1, 129)
_DIGESTS = range(16, 129)
_LARGEST_LN = 31
_ITOA64 = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PLAIN = str.maketrans("-_.", "+/+")

Compare = Callable[[bytes], bool]
"""Tells whether the bytes of a password are right; computes exactly one hash, in the calling thread alone."""


class Cost(NamedTuple):
    """Estimated cost of one comparison: CPU seconds on a reference machine, and bytes of memory.

    The reference is one x86-64 core at 19 ms for argon2id with 19 MiB and two passes. The figures of one `algorithm`
    are off by about the same factor on another machine, so measurements of one hash correct the estimates of others
    (`core/hash_costs.py`).
    """

    algorithm: str
    seconds: float
    memory: int = 0


class StoredHash(NamedTuple):
    """A parsed password hash."""

    compare: Compare
    cost: Cost


class UnfitHash(Exception):  # noqa: N818 - a refusal, told by its code
    """A text that cannot be kept as a password hash. It is not said again in `sentence`.

    `rule` is the sentence without its subject.
    """

    code: ClassVar[str] = "hash_unreadable"
    rule: ClassVar[str] = "is of no known format, or not well-formed"
    sentence: ClassVar[str] = f"The password hash {rule}"


class CostlyHash(UnfitHash):
    """A well-formed hash that would take too much memory or time to compare with."""

    code = "hash_too_costly"
    rule = "demands more memory or time than is allowed"
    sentence = f"The password hash {rule}"


def read(text: str) -> StoredHash:
    """Parse a password hash; UnfitHash or CostlyHash where no password will ever be compared with it."""
    if len(text) > LONGEST or not text.isascii():
        raise UnfitHash
    for form, reader in _FORMS:
        found = form.fullmatch(text)
        if found:
            return reader(found)
    raise UnfitHash


def bcrypt_cost(text: str) -> int | None:
    """Return the cost of a well-formed bcrypt string (`$2a$`, `$2b$`, `$2y$`, 60 characters), else None."""
    form = _BCRYPT.fullmatch(text)
    return int(form[1]) if form else None


def _argon2(found: re.Match[str]) -> StoredHash:
    memory, passes, lanes = int(found["m"]), int(found["t"]), int(found["p"])
    if memory > ARGON2_MEMORY or memory * passes > ARGON2_WORK or lanes > ARGON2_LANES:
        raise CostlyHash
    if not passes or not lanes or memory < 8 * lanes:
        raise UnfitHash
    salt, digest = _bytes(found["salt"], range(8, 129)), _bytes(found["hash"], _DIGESTS)
    kind, version = Type[found["kind"].upper()], int(found["version"] or 16)

    def compare(secret: bytes) -> bool:
        # The context only points at these three; they live as long as this call.
        out = ffi.new("uint8_t[]", len(digest))
        given = ffi.new("uint8_t[]", secret)
        salted = ffi.new("uint8_t[]", salt)
        context = ffi.new("argon2_context *")
        context.out, context.outlen = out, len(digest)
        context.pwd, context.pwdlen = given, len(secret)
        context.salt, context.saltlen = salted, len(salt)
        context.version, context.t_cost, context.m_cost = version, passes, memory
        # One thread for all lanes: argon2-cffi's own functions start one for each, up to 16 for one login.
        context.lanes, context.threads = lanes, 1
        code = core(context, kind.value)
        if code != 0:  # ARGON2_OK
            raise HashingError(error_to_str(code))
        return hmac.compare_digest(bytes(ffi.buffer(out)), digest)

    return StoredHash(compare, Cost(_sized("argon2", memory << 10), 5e-7 * memory * passes, memory << 10))


def _sized(algorithm: str, memory: int) -> str:
    """Return the name under which hashes of about this much memory are measured: caches make small ones cheaper."""
    return f"{algorithm}/{memory.bit_length()}"


def _bcrypt(found: re.Match[str]) -> StoredHash:
    text, cost = _bounded(found["text"])
    prehashed = found["prehash"] is not None

    def compare(secret: bytes) -> bool:
        # bcrypt sees only 72 bytes; a longer password cannot be told from others with the same beginning, so it is
        # never right, unless it was hashed before.
        given = hashlib.sha256(secret).hexdigest().encode() if prehashed else secret
        try:
            right = bcrypt.checkpw(given[:BCRYPT_MAX_BYTES], text.encode())
        except ValueError:
            return False
        return right and len(given) <= BCRYPT_MAX_BYTES

    return StoredHash(compare, cost)


def _bcrypt_legacy(found: re.Match[str]) -> StoredHash:
    text, cost = _bounded(found["text"])

    def compare(secret: bytes) -> bool:
        # The predecessor hashed the bytes and a NUL, over and over until 72 of them: what comes after counted for
        # nothing, and its users log in with such passwords today. The hash that replaces this one is of all of it.
        return bcrypt.checkpw(secret[:BCRYPT_MAX_BYTES], text.encode())

    return StoredHash(compare, cost)


def _bounded(text: str) -> tuple[str, Cost]:
    """Return a bcrypt string whose cost lies within the bounds, and that cost."""
    cost = bcrypt_cost(text)
    if cost is None or cost < BCRYPT_MIN_COST:
        raise UnfitHash
    if cost > BCRYPT_MAX_COST:
        raise CostlyHash
    return text, Cost("bcrypt", 6e-5 * (1 << cost))


def _scrypt(found: re.Match[str]) -> StoredHash:
    power = int(found["ln"])
    # Ory writes N itself there; no system has ever used an N as small as 31.
    count = 1 << power if power <= _LARGEST_LN else power
    salt, digest = _bytes(found["salt"], _SALTS), _bytes(found["hash"], _DIGESTS)
    return _scrypted(count, int(found["r"]), int(found["p"]), salt, digest)


def _scrypt_django(found: re.Match[str]) -> StoredHash:
    digest = _bytes(found["hash"], _DIGESTS)
    return _scrypted(int(found["n"]), int(found["r"]), int(found["p"]), found["salt"].encode(), digest)


def _scrypt_mcf(found: re.Match[str]) -> StoredHash:
    power, block, lanes = (_little_endian(found[name]) for name in ("ln", "r", "p"))
    digest = b"".join(
        _little_endian(found["hash"][start : start + 4]).to_bytes(3, "little") for start in range(0, 43, 4)
    )
    return _scrypted(1 << power, block, lanes, found["salt"].encode(), digest[:32])


def _little_endian(text: str) -> int:
    return sum(_ITOA64.index(character) << 6 * place for place, character in enumerate(text))


def _scrypted(count: int, block: int, lanes: int, salt: bytes, digest: bytes) -> StoredHash:
    derive, cost = _derive_scrypt(count, block, lanes, salt, len(digest))
    return StoredHash(lambda secret: hmac.compare_digest(derive(secret), digest), cost)


def _derive_scrypt(count: int, block: int, lanes: int, salt: bytes, size: int) -> tuple[Callable[[bytes], bytes], Cost]:
    if 128 * count * block > SCRYPT_MEMORY or count * block * lanes > SCRYPT_WORK:
        raise CostlyHash
    if count <= 1 or count & (count - 1) or not block or not lanes or len(salt) not in _SALTS:
        raise UnfitHash
    if count.bit_length() > 16 * block:
        # RFC 7914, section 2: N < 2^(128 r / 8). No scrypt computes such a hash.
        raise UnfitHash
    # OpenSSL counts the blocks of all lanes and two more beside the N of the table.
    memory = 128 * block * (count + lanes + 2)

    def derive(secret: bytes) -> bytes:
        return hashlib.scrypt(secret, salt=salt, n=count, r=block, p=lanes, maxmem=memory + (1 << 20), dklen=size)

    # The blocks are made by PBKDF2, which is most of it where N is small.
    return derive, Cost(_sized("scrypt", memory), (3e-7 * count + 3e-6) * block * lanes, memory)


def _firebase(found: re.Match[str]) -> StoredHash:
    salt = _bytes(found["salt"], _SALTS) + _bytes(found["separator"], range(65))
    signer, digest = _bytes(found["signer"], _DIGESTS), _bytes(found["hash"], _DIGESTS)
    # A shift by a hostile number would be the attack itself.
    count = 1 << min(int(found["ln"]), _LARGEST_LN)
    derive, cost = _derive_scrypt(count, int(found["r"]), 1, salt, 32)

    def compare(secret: bytes) -> bool:
        # Only users that come from Firebase need AES, so only the first of them loads it.
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes  # noqa: PLC0415 - see above

        cipher = Cipher(algorithms.AES(derive(secret)), modes.CTR(bytes(16)))
        return hmac.compare_digest(cipher.encryptor().update(signer), digest)

    return StoredHash(compare, cost)


def _pbkdf2(found: re.Match[str]) -> StoredHash:
    size = found.groupdict().get("size")
    digest = _bytes(found["hash"], _DIGESTS)
    if size is not None and int(size) != len(digest):
        raise UnfitHash
    return _derived(found["name"] or "sha1", int(found["i"]), _bytes(found["salt"], _SALTS), digest)


def _pbkdf2_django(found: re.Match[str]) -> StoredHash:
    return _derived(found["name"], int(found["i"]), found["salt"].encode(), _bytes(found["hash"], _DIGESTS))


def _derived(name: str, iterations: int, salt: bytes, digest: bytes) -> StoredHash:
    size = len(digest)
    work = iterations * -(-size // hashlib.new(name).digest_size)
    if work > PBKDF2_WORK:
        raise CostlyHash
    if not iterations or len(salt) not in _SALTS:
        raise UnfitHash
    seconds = (6e-7 if name == "sha512" else 2.5e-7) * work

    def compare(secret: bytes) -> bool:
        return hmac.compare_digest(hashlib.pbkdf2_hmac(name, secret, salt, iterations, size), digest)

    return StoredHash(compare, Cost(f"pbkdf2/{name}", seconds))


def _salted(found: re.Match[str]) -> StoredHash:
    name = {"SSHA": "sha1", "SSHA256": "sha256", "SSHA512": "sha512"}[found["name"].upper()]
    raw = _bytes(found["hash"], range(1024))
    size = hashlib.new(name).digest_size
    digest, salt = raw[:size], raw[size:]
    if len(salt) not in _SALTS:
        raise UnfitHash
    return StoredHash(
        lambda secret: hmac.compare_digest(hashlib.new(name, secret + salt).digest(), digest), Cost("digest", 1e-6)
    )


def _bytes(text: str, sizes: range) -> bytes:
    """Return the bytes of any spelling of base64 that is in use for hashes; UnfitHash for other text, or sizes."""
    plain = text.rstrip("=").translate(_PLAIN)
    try:
        found = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except binascii.Error:
        raise UnfitHash from None
    if len(found) not in sizes:
        raise UnfitHash
    return found


def _form(pattern: str, flags: re.RegexFlag = re.ASCII) -> re.Pattern[str]:
    """Return a pattern in which #x stands for a number named x, @x for base64 named x, and &x for text without `$`."""
    pattern = re.sub(r"#(\w+)", r"(?P<\1>[0-9]{1,20})", pattern)
    pattern = re.sub(r"@(\w+)", r"(?P<\1>[A-Za-z0-9+/._-]+={0,2})", pattern)
    return re.compile(re.sub(r"&(\w+)", r"(?P<\1>[!-#%-~]+)", pattern), flags)


_BCRYPT = re.compile(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}", re.ASCII)
_FORMS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], StoredHash]], ...] = (
    (_form(r"(?:argon2)?\$argon2(?P<kind>id|i|d)(?:\$v=(?P<version>16|19))?\$m=#m,t=#t,p=#p\$@salt\$@hash"), _argon2),
    (_form(r"(?:bcrypt\$|bcrypt_(?P<prehash>sha256)\$)?(?P<text>\$2[aby]\$[0-9]{2}\$[./A-Za-z0-9]{53})"), _bcrypt),
    (_form(r"\$backend-auth(?P<text>\$2[aby]\$[0-9]{2}\$[./A-Za-z0-9]{53})"), _bcrypt_legacy),
    (_form(r"\$scrypt\$ln=#ln,r=#r,p=#p\$@salt\$@hash"), _scrypt),
    (
        _form(
            r"\$7\$(?P<ln>[./0-9A-Z])(?P<r>[./0-9A-Za-z]{5})(?P<p>[./0-9A-Za-z]{5})&salt\$(?P<hash>[./0-9A-Za-z]{43})"
        ),
        _scrypt_mcf,
    ),
    (_form(r"scrypt\$#n\$&salt\$#r\$#p\$@hash"), _scrypt_django),
    (_form(r"\$firebase-scrypt\$ln=#ln,r=#r\$@salt\$@hash\$@signer\$(?P<separator>[A-Za-z0-9+/_=-]*)"), _firebase),
    (_form(r"\$pbkdf2(?:-(?P<name>sha256|sha512))?\$#i\$@salt\$@hash"), _pbkdf2),
    (_form(r"\$pbkdf2-(?P<name>sha1|sha256|sha512)\$i=#i(?:,l=#size)?\$@salt\$@hash"), _pbkdf2),
    (_form(r"pbkdf2_(?P<name>sha1|sha256)\$#i\$&salt\$@hash"), _pbkdf2_django),
    (_form(r"\{(?P<name>SSHA|SSHA256|SSHA512)\}@hash", re.ASCII | re.IGNORECASE), _salted),
)
