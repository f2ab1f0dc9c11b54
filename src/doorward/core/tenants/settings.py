"""Settings of a tenant, and their effective values with the defaults of the service."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from doorward.core.model import Session, SessionKind, Tenant
from doorward.core.ports import SessionPolicy
from doorward.core.sessions.service import SessionLifetimes, SessionOptions

MIN_IDLE_SECONDS = 5
"""Seconds. Uses are recorded with a delay, so a session in use could not outlive a shorter idle timeout."""


class PasswordPolicy(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """Rules for users' new passwords. None, or False: no rule beyond not being empty."""

    min_length: int | None = None
    require_classes: bool = False
    block_common: bool = False


NAMED_POLICIES: Mapping[str, PasswordPolicy] = {"recommended": PasswordPolicy(min_length=15, block_common=True)}
"""Policies with a name. `recommended`: NIST SP 800-63B-4 (3.1.1.2), for a password that is the only factor."""


class TenantSettings(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A tenant's settings as stored: JSON with the published names.

    Times in seconds; None for the default of the service.

    `session_lifetime` and `session_idle` bound its users' sessions, `tenant_session_lifetime` its own. With
    `ready_hashes`, a bcrypt string in the password of a new user is a hash, as for the predecessor's newest version.
    `introspection_audience` is the `aud` of every introspection response.
    """

    session_lifetime: int | None = None
    session_idle: int | None = None
    sessions_per_user: int | None = None
    tenant_session_lifetime: int | None = None
    password_policy: PasswordPolicy = PasswordPolicy()
    ready_hashes: bool | None = None
    introspection_audience: tuple[str, ...] | None = None


_read = msgspec.json.Decoder(TenantSettings).decode


def decode_settings(tenant: Tenant) -> TenantSettings:
    """Return the settings that the tenant has chosen."""
    return _read(tenant.settings)


def encode_settings(settings: TenantSettings) -> str:
    """Return the settings as the text that is stored."""
    return msgspec.json.encode(settings).decode()


def merge_settings(before: TenantSettings, changes: Mapping[str, object]) -> TenantSettings:
    """Return settings with changes, by attribute name.

    A PasswordPolicy replaces the password policy as a whole, a mapping changes parts of it.
    """
    fields = dict(changes)
    policy = fields.get("password_policy")
    if isinstance(policy, Mapping):
        fields["password_policy"] = msgspec.structs.replace(before.password_policy, **policy)
    return msgspec.structs.replace(before, **fields)


class EffectiveSettings(NamedTuple):
    """The settings that apply to a tenant: its own, or the defaults of the service.

    Times in seconds; None: off, or no limit.
    """

    session_lifetime: int
    session_idle: int | None
    sessions_per_user: int | None
    tenant_session_lifetime: int | None
    ready_hashes: bool
    introspection_audience: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class SettingsResolver:
    """Combines a tenant's settings with the defaults of the service."""

    lifetimes: SessionLifetimes
    ready_hashes: bool = False

    def session_options(self, tenant: Tenant, *, refresh: bool) -> SessionOptions:
        """Return the options of a new session of one of the tenant's users."""
        chosen = decode_settings(tenant)
        counts = self.effective(chosen)
        holds = session_policy(chosen, version=tenant.version)
        return SessionOptions(counts.session_lifetime, counts.sessions_per_user, holds, refresh)

    def effective(self, chosen: TenantSettings) -> EffectiveSettings:
        """Return the effective settings for a tenant with these settings."""
        return EffectiveSettings(
            session_lifetime=chosen.session_lifetime or self.lifetimes.user,
            session_idle=_idle(chosen),
            sessions_per_user=chosen.sessions_per_user or self.lifetimes.per_user,
            tenant_session_lifetime=chosen.tenant_session_lifetime or self.lifetimes.tenant,
            ready_hashes=self.ready_hashes if chosen.ready_hashes is None else chosen.ready_hashes,
            introspection_audience=chosen.introspection_audience,
        )


def introspection_audience(chosen: TenantSettings, own: str, caller: Session) -> tuple[str, ...]:
    """Return the audiences of a token in an introspection response to `caller` (RFC 7662, section 2.2).

    A resource server that checks `aud` expects its own client id: the id of its API key, or the tenant's id where the
    tenant itself calls. `own` is the audience in the token.
    """
    if chosen.introspection_audience is not None:
        return chosen.introspection_audience
    return own, caller.id if caller.kind == SessionKind.KEY else caller.tenant_id


def session_policy(chosen: TenantSettings, *, version: int) -> SessionPolicy:
    """Return the policy for existing sessions of the tenant's users; `version` is the tenant's."""
    return SessionPolicy(_milliseconds(_idle(chosen)), _milliseconds(chosen.session_lifetime), version)


def _idle(chosen: TenantSettings) -> int | None:
    """Return the effective idle timeout: a stored one below the minimum, from before there was one, is raised to it."""
    return None if chosen.session_idle is None else max(MIN_IDLE_SECONDS, chosen.session_idle)


def _milliseconds(seconds: int | None) -> int | None:
    return None if seconds is None else seconds * 1000
