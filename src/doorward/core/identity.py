"""When two spellings of a name are the same name, and which names are refused."""

import unicodedata

# Control characters, format characters (bidi overrides, zero-width), lone surrogates, private use, and the two
# Unicode line separators: none of them can be seen, so two names that differ only in them would look alike.
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def canonical(name: str) -> str:
    """Return the form by which a login or an e-mail address is unique: NFKC, casefolded, NFKC (UAX #31, UTS #46)."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def is_visible(name: str) -> bool:
    """Tell whether neither `name` nor its canonical form holds a character that cannot be seen."""
    if name.isascii():
        return name.isprintable()
    return not any(unicodedata.category(c) in _INVISIBLE for c in name + canonical(name))


def is_email(address: str) -> bool:
    """Tell whether `address` may be an e-mail address, by the predecessor's lenient rule.

    `a@localhost`, IP literals and internationalised addresses pass; `test.test.com` does not.
    """
    local, at, domain = address.rpartition("@")
    return bool(
        at
        and local
        and domain
        and is_visible(address)
        and not any(c.isspace() for c in domain)
        and not domain.startswith(".")
        and ".." not in domain
        and ("@" not in local or (local.startswith('"') and local.endswith('"')))
        and (not any(c.isspace() for c in local) or (local.startswith('"') and local.endswith('"')))
    )
