"""The text form of API keys: `dw_`, the tenant's id, the key's id, and 256 random bits, all base64url. Pure.

Only the SHA-256 of the text is stored: a fast hash is enough for a secret that cannot be guessed.
"""

import base64
import hashlib
import re
import secrets
from binascii import Error as NotBase64
from typing import NamedTuple
from uuid import UUID

PREFIX = b"dw_"
_FORM = re.compile(rb"dw_([A-Za-z0-9_-]{22})([A-Za-z0-9_-]{22})[A-Za-z0-9_-]{43}")


class ParsedApiKey(NamedTuple):
    """An API key in the right form, not yet verified."""

    id: str
    tenant_id: str
    digest: bytes


def new_api_key(tenant_id: str) -> tuple[str, ParsedApiKey]:
    """Return the text of a new API key, which is not stored, and its parts."""
    key_id = secrets.token_urlsafe(16)
    owner = base64.urlsafe_b64encode(UUID(tenant_id).bytes).decode().rstrip("=")
    text = f"dw_{owner}{key_id}{secrets.token_urlsafe(32)}"
    return text, ParsedApiKey(key_id, tenant_id, hashlib.sha256(text.encode()).digest())


def parse_api_key(credential: bytes) -> ParsedApiKey | None:
    """Return an API key in its parts, or None where `credential` does not have the form of one."""
    form = _FORM.fullmatch(credential)
    if form is None:
        return None
    try:
        owner = UUID(bytes=base64.urlsafe_b64decode(form[1] + b"=="))
    except (NotBase64, ValueError):
        return None
    return ParsedApiKey(form[2].decode(), str(owner), hashlib.sha256(credential).digest())
