"""Parser of password hashes: the patterns of all formats, and the function that parses each."""

import re
from collections.abc import Callable

from doorward.core.passwords.formats.argon2 import parse_argon2
from doorward.core.passwords.formats.bcrypt import parse_bcrypt
from doorward.core.passwords.formats.digests import (
    parse_digest_django,
    parse_digest_kratos,
    parse_hmac_kratos,
    parse_hmac_werkzeug,
    parse_ldap,
    parse_phpass,
)
from doorward.core.passwords.formats.model import STANDARD, HashLimits, StoredHash, UnsupportedHash
from doorward.core.passwords.formats.pbkdf2 import parse_pbkdf2, parse_pbkdf2_aspnet, parse_pbkdf2_text_salt
from doorward.core.passwords.formats.scrypt import (
    parse_firebase,
    parse_scrypt,
    parse_scrypt_better_auth,
    parse_scrypt_mcf,
    parse_scrypt_text_salt,
)

MAX_HASH_LENGTH = 1024
"""The most characters of a hash."""


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


def _form(pattern: str) -> re.Pattern[str]:
    """Return a pattern with shorthands for groups.

    #x stands for a number named x, @x for base64, &x for text without `$`, and %x for a digest in hexadecimal.
    """
    pattern = re.sub(r"#(\w+)", r"(?P<\1>[0-9]{1,20})", pattern)
    pattern = re.sub(r"@(\w+)", r"(?P<\1>[A-Za-z0-9+/._-]+={0,2})", pattern)
    pattern = re.sub(r"%(\w+)", r"(?P<\1>(?:[0-9a-f]{2}){16,128})", pattern)
    return re.compile(re.sub(r"&(\w+)", r"(?P<\1>[!-#%-~]+)", pattern), re.ASCII)


_FORMS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str], HashLimits], StoredHash]], ...] = (
    # Argon2: PHC; Django; OpenLDAP and Dovecot; Spring Security (which writes an @).
    (
        _form(
            r"(?:argon2|(?i:\{argon2(?:id?|d)?(?:\x40SpringSecurity_v5_8)?\}))?"
            r"\$argon2(?P<kind>id|i|d)(?:\$v=(?P<version>16|19))?\$m=#m,t=#t,p=#p\$@salt\$@hash"
        ),
        parse_argon2,
    ),
    # bcrypt: as it is; Django; WordPress; Spring Security; Dovecot; OpenLDAP; the predecessor.
    (
        _form(
            r"(?:bcrypt\$|\$backend-auth|(?i:\{(?:bcrypt|blf-crypt|crypt)\})|(?P<prehash>bcrypt_sha256\$|\$wp))?"
            r"(?P<text>\$2[aby]\$[0-9]{2}\$[./A-Za-z0-9]{53})"
        ),
        parse_bcrypt,
    ),
    (_form(r"\$[PH]\$(?P<ln>[5-9A-S])(?P<salt>[./0-9A-Za-z]{8})(?P<hash>[./0-9A-Za-z]{22})"), parse_phpass),
    # scrypt: PHC, passlib and Ory; crypt(3); Django; Werkzeug; Better Auth; Firebase in three spellings.
    (_form(r"\$scrypt\$ln=#ln,r=#r,p=#p\$@salt\$@hash"), parse_scrypt),
    (
        _form(
            r"\$7\$(?P<ln>[./0-9A-Z])(?P<r>[./0-9A-Za-z]{5})(?P<p>[./0-9A-Za-z]{5})&salt\$(?P<hash>[./0-9A-Za-z]{43})"
        ),
        parse_scrypt_mcf,
    ),
    (_form(r"scrypt\$#n\$&salt\$#r\$#p\$@hash"), parse_scrypt_text_salt),
    (_form(r"scrypt:#n:#r:#p\$&salt\$%hex"), parse_scrypt_text_salt),
    (_form(r"(?P<salt>[0-9a-f]{32}):(?P<hex>[0-9a-f]{128})"), parse_scrypt_better_auth),
    (_form(r"\$firebase-scrypt\$ln=#ln,r=#r\$@salt\$@hash\$@signer\$(?P<separator>[A-Za-z0-9+/_=-]*)"), parse_firebase),
    (
        _form(r"\$firescrypt\$ln=#ln,r=#r,p=#p\$@salt\$@hash\$(?P<separator>[A-Za-z0-9+/_=-]*)\$@signer"),
        parse_firebase,
    ),
    (
        _form(r"\$fbscrypt\$v=1,n=#ln,r=#r,p=#p(?:,ss=(?P<separator>[A-Za-z0-9+/_=-]*))?,sk=@signer\$@salt\$@hash"),
        parse_firebase,
    ),
    # PBKDF2: passlib; Keycloak and Ory; Django; Werkzeug; ASP.NET Core Identity.
    (_form(r"\$pbkdf2(?:-(?P<name>sha256|sha512))?\$#i\$@salt\$@hash"), parse_pbkdf2),
    (_form(r"\$pbkdf2-(?P<name>sha1|sha224|sha256|sha384|sha512)\$i=#i(?:,l=#size)?\$@salt\$@hash"), parse_pbkdf2),
    (_form(r"pbkdf2_(?P<name>sha1|sha256)\$#i\$&salt\$@hash"), parse_pbkdf2_text_salt),
    (_form(r"pbkdf2:(?P<name>sha1|sha256|sha512):#i\$&salt\$%hex"), parse_pbkdf2_text_salt),
    (_form(r"(?P<hash>AQAAAA[A-Za-z0-9+/]{54,334}={0,2})"), parse_pbkdf2_aspnet),
    # Digests: LDAP and Dovecot; Django; Werkzeug before 2.3; Ory.
    (_form(r"(?i:\{(?P<salted>S?)SHA(?P<size>256|512|)\})@hash"), parse_ldap),
    (_form(r"(?P<name>md5|sha1)\$(?P<salt>[!-#%-~]*)\$%hex"), parse_digest_django),
    (_form(r"(?P<name>sha256|sha512)\$&salt\$%hex"), parse_hmac_werkzeug),
    (_form(r"\$(?P<name>md5|sha1|sha256|sha512)\$(?:pf=@pf\$(?P<salt>[A-Za-z0-9+/=]*)\$)?@hash"), parse_digest_kratos),
    (_form(r"\$hmac-(?P<name>md5|sha1|sha224|sha256|sha384|sha512)\$@hash\$@key"), parse_hmac_kratos),
)
