"""Start checks of a Redis server: version, role, eviction policy, keys of the predecessor."""

import asyncio
import logging
import re
import ssl
from time import perf_counter

from doorward.core.error_text import describe_error
from doorward.core.errors import CannotStart
from doorward.core.tokens.legacy import KEY_PREFIXES
from doorward.storage.redis.address import Address, Place
from doorward.storage.redis.connection import CONNECTION_ERRORS, GreetingRejected, RedisConnection
from doorward.storage.redis.server_trust import UntrustedServer, read_info
from doorward.storage.relational.database import ServerInfo

log = logging.getLogger(__name__)

_OURS = b"dw:"
_PREDECESSOR_KEY = re.compile(
    rb"(%b)(tenant:|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})" % "|".join(KEY_PREFIXES).encode()
)
_PAGES, _PAGE = 10, "1000"

_OLDEST = (6, 2)
_SECONDS = 1.0
_PAUSE = 0.25
_INFO_SECTIONS = ("server", "clients", "memory", "cluster", "replication")


async def check_server(address: Address, *, wait: float = 0.0) -> ServerInfo:
    """Check the first server that responds, and return its description; CannotStart, without secrets, if none is fit.

    Retries unreachable servers for `wait` seconds. Logs a warning for settings that risk sessions.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + wait
    while True:
        for place in address.places:
            try:
                async with asyncio.timeout(_SECONDS):
                    return await _check_one(address, place)
            except ssl.SSLError as error:
                reason = getattr(error, "verify_message", "") or error.reason or "TLS failed"
                raise CannotStart(
                    f"REDIS_URL: the TLS certificate of {_name(place)} is not trusted ({reason})."
                ) from None
            except GreetingRejected as error:
                raise CannotStart(_refusal(place, str(error))) from None
            except (*CONNECTION_ERRORS, UntrustedServer) as error:
                trouble = describe_error(error)
        if loop.time() >= until:
            raise CannotStart(f"REDIS_URL: {address.place} cannot be reached ({trouble}).")
        await asyncio.sleep(_PAUSE)


def _name(place: Place) -> str:
    return "{}:{}".format(*place)


def _refusal(place: Place, message: str) -> str:
    if message.startswith(("WRONGPASS", "NOAUTH", "ERR invalid password", "ERR AUTH")):
        return f"REDIS_URL: {_name(place)} rejects the user or the password."
    return f"REDIS_URL: {_name(place)} rejects AUTH or SELECT ({message.partition(' ')[0]})."


async def _check_one(address: Address, place: Place) -> ServerInfo:
    connection = await RedisConnection.connect(*place, address.tls, address.greeting)
    try:
        begin = perf_counter()
        replies = await connection.run([("INFO", section) for section in _INFO_SECTIONS])
        took = (perf_counter() - begin) * 1000
        # The predecessor supports no Cluster.
        is_predecessors = not address.cluster and await _has_predecessor_keys(connection)
    finally:
        connection.close()
    fields: dict[str, str] = {}
    for reply in replies:
        if isinstance(reply, Exception):
            raise GreetingRejected(str(reply))
        fields |= read_info(reply)
    version = fields.get("redis_version", "")
    if tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) < _OLDEST:
        raise CannotStart(f"REDIS_URL: {_name(place)} is Redis {version}, 6.2 or newer is required.")
    if (fields.get("cluster_enabled") == "1") != address.cluster:
        raise CannotStart(
            f"REDIS_URL: {_name(place)} is {'no' if address.cluster else 'a'} node of a Cluster; "
            f"{'remove' if address.cluster else 'add'} ?cluster=true."
        )
    if not address.cluster and fields.get("role") != "master":
        raise CannotStart(f"REDIS_URL: {_name(place)} is a replica, which may lack recent revocations.")
    if (policy := fields.get("maxmemory_policy", "noeviction")) != "noeviction":
        log.warning(
            "redis may evict sessions, which logs users out; set its maxmemory-policy to noeviction",
            extra={"server": _name(place), "policy": policy},
        )
    if is_predecessors:
        log.warning(
            "redis has keys of backend-auth and none of this service; name another server or database in REDIS_URL",
            extra={"server": _name(place)},
        )
    product = "Valkey" if "valkey_version" in fields else "Redis"
    clock, max_clients = (int(fields.get(name, 0)) for name in ("server_time_usec", "maxclients"))
    return ServerInfo(
        f"{product} {fields.get('valkey_version', version)}",
        clock // 1000 or None,
        max_clients or None,
        policy != "noeviction",
        took,
        is_predecessors,
    )


async def _has_predecessor_keys(connection: RedisConnection) -> bool:
    """Return whether a sample of up to 10,000 keys has keys of backend-auth and none of Doorward."""
    cursor, found = b"0", False
    for _ in range(_PAGES):
        [reply] = await connection.run([("SCAN", cursor, "COUNT", _PAGE)])
        if isinstance(reply, Exception):
            return False
        cursor, keys = reply
        if any(key.startswith(_OURS) for key in keys):
            return False
        found = found or any(_PREDECESSOR_KEY.match(key) for key in keys)
        if cursor == b"0":
            break
    return found
