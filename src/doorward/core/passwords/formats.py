"""Password hashes in the formats of other systems: strict parsing, cost limits, comparison.

Parsing costs microseconds. The cost of a comparison depends on the hash, up to the limits below; `HashCost` is the
estimate.
"""

import base64
import binascii
import hashlib
import hmac
import re
import unicodedata
from collections.abc import Callable, Mapping
from typing import ClassVar, NamedTuple

import bcrypt
from argon2.exceptions import HashingError
from argon2.low_level import Type, core, error_to_str, ffi

MAX_HASH_LENGTH = 1024
"""The most characters of a hash."""


class HashLimits(NamedTuple):
    """The largest accepted cost of a hash.

    `memory` is in bytes, for argon2 and scrypt. `argon2` counts passes times KiB, `scrypt` N·r·p, `pbkdf2` iterations.
    `bcrypt` and `phpass` are the logarithm of the rounds. The lanes of argon2 are bounded by the memory alone, since
    one thread computes all of them.
    """

    memory: int
    argon2: int
    scrypt: int
    pbkdf2: int
    bcrypt: int
    phpass: int


STANDARD = HashLimits(memory=1 << 27, argon2=1 << 20, scrypt=1 << 20, pbkdf2=2_000_000, bcrypt=14, phpass=15)
"""Limits of the API. The parameters that the service's own settings allow are within them."""

RAISED = HashLimits(memory=1 << 30, argon2=1 << 22, scrypt=1 << 23, pbkdf2=10_000_000, bcrypt=16, phpass=18)
"""Limits that an operator may choose for an import. A stored hash beyond them matches no password."""

LEGACY = "$backend-auth"
"""The prefix of the predecessor's bcrypt strings."""

BCRYPT_MIN_COST = 4
BCRYPT_MAX_COST = STANDARD.bcrypt
BCRYPT_MAX_BYTES = 72

_SALTS = range(1, 129)
_DIGESTS = range(16, 129)
_MAX_LN = 31
_SCRYPT_BLOCKS = 1 << 20
"""Bytes that scrypt may use in addition to its table, so that the largest table is within the limit."""
_ITOA64 = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PLAIN = str.maketrans("-_.", "+/+")

CompareFunction = Callable[[bytes], bool]
"""Returns whether the bytes of a password match; computes exactly one hash, in the calling thread alone."""


class HashCost(NamedTuple):
    """Estimated cost of one comparison: CPU seconds on a reference machine, and bytes of memory.

    The reference is one x86-64 core at 19 ms for argon2id with 19 MiB and two passes. The figures of one `algorithm`
    are off by about the same factor on another machine, so measurements of one hash correct the estimates of others
    (`core/passwords/costs.py`).
    """

    algorithm: str
    seconds: float
    memory: int = 0


class StoredHash(NamedTuple):
    """A parsed password hash.

    `prefix` is the number of bytes of a password that the hash covers, if it does not cover all.
    """

    compare: CompareFunction
    cost: HashCost
    prefix: int | None = None


class UnsupportedHash(Exception):
    """A text that cannot be stored as a password hash. `sentence` does not repeat it.

    `rule` is the sentence without its subject.
    """

    code: ClassVar[str] = "hash_unreadable"
    rule: ClassVar[str] = "is of no known format, or not well-formed"
    sentence: ClassVar[str] = f"The password hash {rule}"


class HashTooCostly(UnsupportedHash):
    """A well-formed hash whose comparison would take too much memory or time."""

    code = "hash_too_costly"
    rule = "demands more memory or time than is allowed"
    sentence = f"The password hash {rule}"


def parse_hash(text: str, bounds: HashLimits = STANDARD) -> StoredHash:
    """Parse a password hash.

    Raises UnsupportedHash for an unknown or malformed one, HashTooCostly for one beyond `bounds`.
    """
    if len(text) > MAX_HASH_LENGTH or not text.isascii():
        raise UnsupportedHash
    for form, parse in _FORMS:
        match = form.fullmatch(text)
        if match:
            return parse(match, bounds)
    raise UnsupportedHash


def bcrypt_cost(text: str) -> int | None:
    """Return the cost of a well-formed bcrypt string (`$2a$`, `$2b$`, `$2y$`, 60 characters), else None."""
    form = _BCRYPT.fullmatch(text)
    return int(form[1]) if form else None


def _argon2(match: re.Match[str], bounds: HashLimits) -> StoredHash:
    memory, passes, lanes = int(match["m"]), int(match["t"]), int(match["p"])
    if memory << 10 > bounds.memory or memory * passes > bounds.argon2:
        raise HashTooCostly
    if not passes or not lanes or memory < 8 * lanes:
        raise UnsupportedHash
    salt, digest = _bytes(match["salt"], range(8, 129)), _bytes(match["hash"], _DIGESTS)
    kind, version = Type[match["kind"].upper()], int(match["version"] or 16)

    def compare(secret: bytes) -> bool:
        # The context has pointers to these three; they live as long as this call.
        out = ffi.new("uint8_t[]", len(digest))
        given = ffi.new("uint8_t[]", secret)
        salted = ffi.new("uint8_t[]", salt)
        context = ffi.new("argon2_context *")
        context.out, context.outlen = out, len(digest)
        context.pwd, context.pwdlen = given, len(secret)
        context.salt, context.saltlen = salted, len(salt)
        context.version, context.t_cost, context.m_cost = version, passes, memory
        # One thread for all lanes: argon2-cffi's own functions start one for each.
        context.lanes, context.threads = lanes, 1
        code = core(context, kind.value)
        if code != 0:  # ARGON2_OK
            raise HashingError(error_to_str(code))
        return hmac.compare_digest(bytes(ffi.buffer(out)), digest)

    return StoredHash(compare, HashCost(_sized("argon2", memory << 10), 5e-7 * memory * passes, memory << 10))


def _sized(algorithm: str, memory: int) -> str:
    """Return the name under which hashes of about this much memory are measured: caches make small ones cheaper."""
    return f"{algorithm}/{memory.bit_length()}"


def _bcrypt(match: re.Match[str], bounds: HashLimits) -> StoredHash:
    text, prepare = match["text"], _PREPARED.get(match["prehash"])
    rounds = bcrypt_cost(text)
    if rounds is None or rounds < BCRYPT_MIN_COST:
        raise UnsupportedHash
    if rounds > bounds.bcrypt:
        raise HashTooCostly

    def compare(secret: bytes) -> bool:
        # Systems that hash longer passwords directly truncate them, so the first 72 bytes are the password until the
        # hash is renewed. bcrypt itself reads no more.
        given = prepare(secret) if prepare else secret
        try:
            return bcrypt.checkpw(given[:BCRYPT_MAX_BYTES], text.encode())
        except ValueError:
            return False

    return StoredHash(compare, HashCost("bcrypt", 6e-5 * (1 << rounds)), None if prepare else BCRYPT_MAX_BYTES)


_PREPARED: Mapping[str | None, Callable[[bytes], bytes]] = {
    "bcrypt_sha256$": lambda secret: hashlib.sha256(secret).hexdigest().encode(),
    "$wp": lambda secret: base64.b64encode(hmac.digest(b"wp-sha384", secret, "sha384")),
}
"""Digests of a password that a system hashes with bcrypt instead: Django, WordPress from 6.8 on."""


def _phpass(match: re.Match[str], bounds: HashLimits) -> StoredHash:
    power = _little_endian(match["ln"])
    salt, digest = match["salt"].encode(), _from_itoa64(match["hash"])
    if power > bounds.phpass:
        raise HashTooCostly

    def compare(secret: bytes) -> bool:
        result = _md5(salt + secret)
        for _ in range(1 << power):
            result = _md5(result + secret)
        return hmac.compare_digest(result, digest)

    return StoredHash(compare, HashCost("phpass", 4.5e-7 * (1 << power)))


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()


def _scrypt(match: re.Match[str], bounds: HashLimits) -> StoredHash:
    power = int(match["ln"])
    # Ory writes N itself there; no system has ever used an N as small as 31.
    count = 1 << power if power <= _MAX_LN else power
    salt, digest = _bytes(match["salt"], _SALTS), _bytes(match["hash"], _DIGESTS)
    return _scrypted(count, int(match["r"]), int(match["p"]), salt, digest, bounds)


def _scrypt_text_salt(match: re.Match[str], bounds: HashLimits) -> StoredHash:
    """Scrypt of Django and Werkzeug."""
    salt, digest = _text_salt(match)
    return _scrypted(int(match["n"]), int(match["r"]), int(match["p"]), salt, digest, bounds)


def _text_salt(match: re.Match[str]) -> tuple[bytes, bytes]:
    """Return a salt that is text, and a digest in base64 (Django) or hexadecimal (Werkzeug)."""
    digest = bytes.fromhex(match["hex"]) if "hex" in match.re.groupindex else _bytes(match["hash"], _DIGESTS)
    return match["salt"].encode(), digest


def _scrypt_mcf(match: re.Match[str], bounds: HashLimits) -> StoredHash:
    power, block, lanes = (_little_endian(match[name]) for name in ("ln", "r", "p"))
    return _scrypted(1 << power, block, lanes, match["salt"].encode(), _from_itoa64(match["hash"]), bounds)


def _scrypt_better_auth(match: re.Match[str], bounds: HashLimits) -> StoredHash:
    # The salt is hexadecimal, and hashed as that text.
    stored = _scrypted(16_384, 16, 1, match["salt"].encode(), bytes.fromhex(match["hex"]), bounds)
    return stored._replace(
        compare=lambda secret: stored.compare(unicodedata.normalize("NFKC", secret.decode()).encode())
    )


def _little_endian(text: str) -> int:
    return sum(_ITOA64.index(character) << 6 * place for place, character in enumerate(text))


def _from_itoa64(text: str) -> bytes:
    """Decode the base64 of crypt(3) and phpass: groups of four characters, least significant first."""
    decoded = b""
    for start in range(0, len(text), 4):
        group = text[start : start + 4]
        size = len(group) * 6 // 8
        decoded += _little_endian(group).to_bytes(3, "little")[:size]
    return decoded


def _scrypted(count: int, block: int, lanes: int, salt: bytes, digest: bytes, bounds: HashLimits) -> StoredHash:
    derive, cost = _derive_scrypt(count, block, lanes, salt, len(digest), bounds)
    return StoredHash(lambda secret: hmac.compare_digest(derive(secret), digest), cost)


def _derive_scrypt(
    count: int, block: int, lanes: int, salt: bytes, size: int, bounds: HashLimits
) -> tuple[Callable[[bytes], bytes], HashCost]:
    # OpenSSL counts the blocks of all lanes and two more in addition to the N of the table.
    memory = 128 * block * (count + lanes + 2)
    if memory > bounds.memory + _SCRYPT_BLOCKS or count * block * lanes > bounds.scrypt:
        raise HashTooCostly
    if count <= 1 or count & (count - 1) or not block or not lanes or len(salt) not in _SALTS:
        raise UnsupportedHash
    if count.bit_length() > 16 * block:
        # RFC 7914, section 2: N < 2^(128 r / 8). No scrypt computes such a hash.
        raise UnsupportedHash

    def derive(secret: bytes) -> bytes:
        return hashlib.scrypt(secret, salt=salt, n=count, r=block, p=lanes, maxmem=memory + (1 << 20), dklen=size)

    # PBKDF2 computes the blocks, which dominates where N is small.
    return derive, HashCost(_sized("scrypt", memory), (3e-7 * count + 3e-6) * block * lanes, memory)


def _firebase(match: re.Match[str], bounds: HashLimits) -> StoredHash:
    salt = _bytes(match["salt"], _SALTS) + _bytes(match["separator"] or "", range(65))
    signer, digest = _bytes(match["signer"], _DIGESTS), _bytes(match["hash"], _DIGESTS)
    # A shift by an attacker's number would be the attack.
    count = 1 << min(int(match["ln"]), _MAX_LN)
    derive, cost = _derive_scrypt(count, int(match["r"]), int(match.groupdict().get("p", 1)), salt, 32, bounds)

    def compare(secret: bytes) -> bool:
        # Only users from Firebase need AES, so the first of them loads it.
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes  # noqa: PLC0415 - see above

        cipher = Cipher(algorithms.AES(derive(secret)), modes.CTR(bytes(16)))
        return hmac.compare_digest(cipher.encryptor().update(signer), digest)

    return StoredHash(compare, cost)


def _pbkdf2(match: re.Match[str], bounds: HashLimits) -> StoredHash:
    size = match.groupdict().get("size")
    digest = _bytes(match["hash"], _DIGESTS)
    if size is not None and int(size) != len(digest):
        raise UnsupportedHash
    return _derived(match["name"] or "sha1", int(match["i"]), _bytes(match["salt"], _SALTS), digest, bounds)


def _pbkdf2_text_salt(match: re.Match[str], bounds: HashLimits) -> StoredHash:
    """PBKDF2 of Django and Werkzeug."""
    return _derived(match["name"], int(match["i"]), *_text_salt(match), bounds)


def _pbkdf2_aspnet(match: re.Match[str], bounds: HashLimits) -> StoredHash:
    """PBKDF2 of ASP.NET Core Identity 3: a byte 1, then PRF, iterations and size of the salt in four bytes each."""
    raw = _bytes(match["hash"], range(13 + 16 + 16, 256))
    prf, iterations, size = (int.from_bytes(raw[start : start + 4]) for start in (1, 5, 9))
    salt, digest = raw[13 : 13 + size], raw[13 + size :]
    if prf >= len(_ASPNET_PRFS) or len(salt) != size or len(digest) not in _DIGESTS:
        raise UnsupportedHash
    return _derived(_ASPNET_PRFS[prf], iterations, salt, digest, bounds)


def _derived(name: str, iterations: int, salt: bytes, digest: bytes, bounds: HashLimits) -> StoredHash:
    if iterations > bounds.pbkdf2:
        raise HashTooCostly
    if not iterations or len(salt) not in _SALTS:
        raise UnsupportedHash
    # The blocks of a derived key are independent. The first one has 20 to 64 bytes, which is enough to compare;
    # Keycloak's four blocks of SHA-1 would take four times as long.
    first = digest[: hashlib.new(name).digest_size]
    seconds = (6e-7 if name in {"sha384", "sha512"} else 2.5e-7) * iterations

    def compare(secret: bytes) -> bool:
        return hmac.compare_digest(hashlib.pbkdf2_hmac(name, secret, salt, iterations, len(first)), first)

    return StoredHash(compare, HashCost(f"pbkdf2/{name}", seconds))


def _ldap(match: re.Match[str], _bounds: HashLimits) -> StoredHash:
    name = {"": "sha1", "256": "sha256", "512": "sha512"}[match["size"]]
    raw = _bytes(match["hash"], range(1024))
    size = hashlib.new(name).digest_size
    digest, salt = raw[:size], raw[size:]
    if len(digest) != size or (len(salt) not in _SALTS if match["salted"] else salt):
        raise UnsupportedHash
    return _digested(lambda secret: hashlib.new(name, secret + salt).digest(), digest)


def _digest_django(match: re.Match[str], _bounds: HashLimits) -> StoredHash:
    name, salt = match["name"], match["salt"].encode()
    return _digested(
        lambda secret: hashlib.new(name, salt + secret, usedforsecurity=False).digest(),
        _hexadecimal(match["hex"], name),
    )


def _hmac_werkzeug(match: re.Match[str], _bounds: HashLimits) -> StoredHash:
    name, salt = match["name"], match["salt"].encode()
    return _digested(lambda secret: hmac.digest(salt, secret, name), _hexadecimal(match["hex"], name))


def _digest_kratos(match: re.Match[str], _bounds: HashLimits) -> StoredHash:
    """Digest of Ory Kratos: `pf` is the text to hash, with {SALT} and {PASSWORD} in it."""
    name = match["name"]
    template, salt = _bytes(match["pf"] or "", range(257)) or b"{PASSWORD}", _bytes(match["salt"] or "", range(129))
    digest = _bytes(match["hash"], range(hashlib.new(name).digest_size, hashlib.new(name).digest_size + 1))
    if b"{PASSWORD}" not in template:
        # Every password would match.
        raise UnsupportedHash

    def make(secret: bytes) -> bytes:
        text = _PLACEHOLDER.sub(lambda place: salt if place[0] == b"{SALT}" else secret, template)
        return hashlib.new(name, text, usedforsecurity=False).digest()

    return _digested(make, digest)


def _hmac_kratos(match: re.Match[str], _bounds: HashLimits) -> StoredHash:
    name, key = match["name"], _bytes(match["key"], _SALTS)
    try:
        text = _bytes(match["hash"], range(257)).decode()
    except UnicodeDecodeError:
        raise UnsupportedHash from None
    return _digested(lambda secret: hmac.digest(key, secret, name), _hexadecimal(text, name))


def _hexadecimal(text: str, name: str) -> bytes:
    """Decode the digest of this algorithm from hexadecimal."""
    try:
        digest = bytes.fromhex(text)
    except ValueError:
        raise UnsupportedHash from None
    if len(digest) != hashlib.new(name).digest_size:
        raise UnsupportedHash
    return digest


def _digested(make: Callable[[bytes], bytes], digest: bytes) -> StoredHash:
    return StoredHash(lambda secret: hmac.compare_digest(make(secret), digest), HashCost("digest", 1e-6))


def _bytes(text: str, sizes: range) -> bytes:
    """Decode any spelling of base64 that systems use for hashes; raises UnsupportedHash for other text, or sizes."""
    plain = text.rstrip("=").translate(_PLAIN)
    try:
        decoded = base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except binascii.Error:
        raise UnsupportedHash from None
    if len(decoded) not in sizes:
        raise UnsupportedHash
    return decoded


def _form(pattern: str) -> re.Pattern[str]:
    """Return a pattern with shorthands for groups.

    #x stands for a number named x, @x for base64, &x for text without `$`, and %x for a digest in hexadecimal.
    """
    pattern = re.sub(r"#(\w+)", r"(?P<\1>[0-9]{1,20})", pattern)
    pattern = re.sub(r"@(\w+)", r"(?P<\1>[A-Za-z0-9+/._-]+={0,2})", pattern)
    pattern = re.sub(r"%(\w+)", r"(?P<\1>(?:[0-9a-f]{2}){16,128})", pattern)
    return re.compile(re.sub(r"&(\w+)", r"(?P<\1>[!-#%-~]+)", pattern), re.ASCII)


_ASPNET_PRFS = ("sha1", "sha256", "sha512")
_PLACEHOLDER = re.compile(rb"\{(?:SALT|PASSWORD)\}")
_BCRYPT = re.compile(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}", re.ASCII)
_FORMS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str], HashLimits], StoredHash]], ...] = (
    # Argon2: PHC; Django; OpenLDAP and Dovecot; Spring Security (which writes an @).
    (
        _form(
            r"(?:argon2|(?i:\{argon2(?:id?|d)?(?:\x40SpringSecurity_v5_8)?\}))?"
            r"\$argon2(?P<kind>id|i|d)(?:\$v=(?P<version>16|19))?\$m=#m,t=#t,p=#p\$@salt\$@hash"
        ),
        _argon2,
    ),
    # bcrypt: as it is; Django; WordPress; Spring Security; Dovecot; OpenLDAP; the predecessor.
    (
        _form(
            r"(?:bcrypt\$|\$backend-auth|(?i:\{(?:bcrypt|blf-crypt|crypt)\})|(?P<prehash>bcrypt_sha256\$|\$wp))?"
            r"(?P<text>\$2[aby]\$[0-9]{2}\$[./A-Za-z0-9]{53})"
        ),
        _bcrypt,
    ),
    (_form(r"\$[PH]\$(?P<ln>[5-9A-S])(?P<salt>[./0-9A-Za-z]{8})(?P<hash>[./0-9A-Za-z]{22})"), _phpass),
    # scrypt: PHC, passlib and Ory; crypt(3); Django; Werkzeug; Better Auth; Firebase in three spellings.
    (_form(r"\$scrypt\$ln=#ln,r=#r,p=#p\$@salt\$@hash"), _scrypt),
    (
        _form(
            r"\$7\$(?P<ln>[./0-9A-Z])(?P<r>[./0-9A-Za-z]{5})(?P<p>[./0-9A-Za-z]{5})&salt\$(?P<hash>[./0-9A-Za-z]{43})"
        ),
        _scrypt_mcf,
    ),
    (_form(r"scrypt\$#n\$&salt\$#r\$#p\$@hash"), _scrypt_text_salt),
    (_form(r"scrypt:#n:#r:#p\$&salt\$%hex"), _scrypt_text_salt),
    (_form(r"(?P<salt>[0-9a-f]{32}):(?P<hex>[0-9a-f]{128})"), _scrypt_better_auth),
    (_form(r"\$firebase-scrypt\$ln=#ln,r=#r\$@salt\$@hash\$@signer\$(?P<separator>[A-Za-z0-9+/_=-]*)"), _firebase),
    (
        _form(r"\$firescrypt\$ln=#ln,r=#r,p=#p\$@salt\$@hash\$(?P<separator>[A-Za-z0-9+/_=-]*)\$@signer"),
        _firebase,
    ),
    (
        _form(r"\$fbscrypt\$v=1,n=#ln,r=#r,p=#p(?:,ss=(?P<separator>[A-Za-z0-9+/_=-]*))?,sk=@signer\$@salt\$@hash"),
        _firebase,
    ),
    # PBKDF2: passlib; Keycloak and Ory; Django; Werkzeug; ASP.NET Core Identity.
    (_form(r"\$pbkdf2(?:-(?P<name>sha256|sha512))?\$#i\$@salt\$@hash"), _pbkdf2),
    (_form(r"\$pbkdf2-(?P<name>sha1|sha224|sha256|sha384|sha512)\$i=#i(?:,l=#size)?\$@salt\$@hash"), _pbkdf2),
    (_form(r"pbkdf2_(?P<name>sha1|sha256)\$#i\$&salt\$@hash"), _pbkdf2_text_salt),
    (_form(r"pbkdf2:(?P<name>sha1|sha256|sha512):#i\$&salt\$%hex"), _pbkdf2_text_salt),
    (_form(r"(?P<hash>AQAAAA[A-Za-z0-9+/]{54,334}={0,2})"), _pbkdf2_aspnet),
    # Digests: LDAP and Dovecot; Django; Werkzeug before 2.3; Ory.
    (_form(r"(?i:\{(?P<salted>S?)SHA(?P<size>256|512|)\})@hash"), _ldap),
    (_form(r"(?P<name>md5|sha1)\$(?P<salt>[!-#%-~]*)\$%hex"), _digest_django),
    (_form(r"(?P<name>sha256|sha512)\$&salt\$%hex"), _hmac_werkzeug),
    (_form(r"\$(?P<name>md5|sha1|sha256|sha512)\$(?:pf=@pf\$(?P<salt>[A-Za-z0-9+/=]*)\$)?@hash"), _digest_kratos),
    (_form(r"\$hmac-(?P<name>md5|sha1|sha224|sha256|sha384|sha512)\$@hash\$@key"), _hmac_kratos),
)
