"""TR9, CF1: the syntax of REDIS_URL, and the start checks of a Redis server."""

import asyncio
import datetime as dt
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from doorward.core.errors import CannotStart
from doorward.settings import Settings
from doorward.storage.redis.address import Address, without_secrets
from doorward.storage.redis.startup import check_server
from harness import KEY, serving
from redis_servers import RedisServer, free_port, own_redis, tls_before
from session_factories import Opener, claimed, user_session

pytest_plugins = ["redis_fixtures"]

PASSWORD = "s3cret-of-redis"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://cache.example.org", "TLS"),
        (f"redis://:{PASSWORD}@192.0.2.1", "TLS"),
        ("rediss://cache.example.org", "password"),
        (f"redis://127.0.0.1,:{PASSWORD}@10.0.0.1", "TLS"),
        ("redis://", "redis://user:password@host:port"),
        ("redis://localhost:notaport", "redis://user:password@host:port"),
        ("redis://localhost/x", "redis://user:password@host:port"),
        ("redis://localhost?clutser=true", "clutser"),
        ("redis://localhost?cluster=maybe", "cluster"),
        ("redis://localhost,127.0.0.1?cluster=false", "Cluster"),
        ("redis://localhost/2?cluster=true", "database"),
        ("redis://doorward@localhost", "without a password"),
        (f"rediss://:{PASSWORD}@localhost?ca=/no/such/file", "ca"),
    ],
)
def test_TR9_an_address_that_is_wrong_or_unsafe_is_refused_without_its_password(url: str, said: str) -> None:
    with pytest.raises(CannotStart) as refusal:
        Address.read(url)
    assert said in str(refusal.value)
    assert PASSWORD not in str(refusal.value)


@pytest.mark.parametrize(
    ("url", "places", "is_cluster", "is_encrypted"),
    [
        ("redis://localhost", (("localhost", 6379),), False, False),
        ("redis://[::1]:7000", (("::1", 7000),), False, False),
        ("redis://127.0.0.1:1,127.0.0.1:2", (("127.0.0.1", 1), ("127.0.0.1", 2)), True, False),
        ("redis://localhost?cluster=true", (("localhost", 6379),), True, False),
        ("redis://cache.internal?insecure=true", (("cache.internal", 6379),), False, False),
        ("rediss://doorward:pass%40word@cache.internal", (("cache.internal", 6379),), False, True),
    ],
)
def test_an_address_says_where_and_how(
    url: str,
    places: tuple[tuple[str, int], ...],
    is_cluster: bool,  # noqa: FBT001
    is_encrypted: bool,  # noqa: FBT001
) -> None:
    address = Address.read(url)
    assert address.places == places
    assert address.cluster == is_cluster
    assert (address.tls is not None) == is_encrypted
    assert "pass@word" not in repr(address)


def test_what_is_shown_of_an_address_is_no_secret() -> None:
    assert without_secrets(f"rediss://doorward:{PASSWORD}@a:1,b:2/0?ca=x") == "a:1,b:2"


def test_CF1_with_redis_a_missing_master_key_is_refused(tmp_path: Path) -> None:
    settings = Settings.read({"REDIS_URL": "redis://localhost", "DATA_DIR": str(tmp_path)}, tmp_path)
    with pytest.raises(CannotStart, match="JWT_KEY"):
        settings.with_master_key()
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_started_service_says_where_sessions_are_and_shows_no_secret(tmp_path: Path) -> None:
    with own_redis(requirepass=PASSWORD) as server:
        url = f"redis://:{PASSWORD}@127.0.0.1:{server.port}"
        with serving(tmp_path, {"JWT_KEY": KEY, "REDIS_URL": url}) as process:
            said = process.log()
    assert f"sessions    Redis at 127.0.0.1:{server.port}\n" in said
    assert PASSWORD not in said


@pytest.mark.slow
async def test_a_server_that_cannot_be_reached_ends_the_start_after_some_attempts() -> None:
    with pytest.raises(CannotStart, match="cannot be reached"):
        await check_server(Address.read(f"redis://127.0.0.1:{free_port()}"), wait=0.3)


@pytest.mark.slow
async def test_a_server_that_comes_a_little_later_is_waited_for() -> None:
    server = RedisServer()
    try:
        checking = asyncio.create_task(check_server(Address.read(server.url), wait=10))
        await asyncio.sleep(0.3)
        await asyncio.to_thread(server.start)
        await checking
    finally:
        server.remove()


@pytest.mark.slow
@pytest.mark.parametrize("login", ["", ":wrong@", "nobody:wrong@"])
async def test_a_wrong_password_ends_the_start_with_one_sentence(login: str) -> None:
    with own_redis(requirepass=PASSWORD) as server:
        with pytest.raises(CannotStart, match="rejects the user or the password") as refusal:
            await check_server(Address.read(f"redis://{login}127.0.0.1:{server.port}"), wait=5)
        assert "wrong" not in str(refusal.value)
        await check_server(Address.read(f"redis://:{PASSWORD}@127.0.0.1:{server.port}"))
        server.do("ACL", "SETUSER", "doorward", "on", ">pw", "~dw:*", "+@all")
        await check_server(Address.read(f"redis://doorward:pw@127.0.0.1:{server.port}"))


@pytest.mark.slow
async def test_a_node_that_is_none_or_one_too_many_ends_the_start(
    shared_redis: RedisServer, shared_cluster: list[RedisServer]
) -> None:
    with pytest.raises(CannotStart, match="cluster=true"):
        await check_server(Address.read(shared_cluster[0].url))
    with pytest.raises(CannotStart, match="no node of a Cluster"):
        await check_server(Address.read(f"{shared_redis.url}?cluster=true"))


@pytest.mark.slow
async def test_a_replica_ends_the_start(shared_redis: RedisServer) -> None:
    with own_redis(replicaof=f"127.0.0.1 {shared_redis.port}") as replica, pytest.raises(CannotStart, match="replica"):
        await check_server(Address.read(replica.url))


@pytest.mark.slow
async def test_a_server_that_may_evict_is_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    with own_redis(maxmemory_policy="allkeys-lru") as server:
        await check_server(Address.read(server.url))
    assert "noeviction" in caplog.text


OWNER = "b62ec294-cc90-4667-b8b2-a86630c1d96b"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("keys", "is_warned_about"),
    [
        (["auth_tenant:shop@example.org"], True),
        (["jincor_auth_tenant:shop@example.org", "request_throttler_127.0.0.1"], True),
        ([f"auth_{OWNER}1795460357060"], True),
        ([*(f"jincor_auth_{OWNER}:user-{number}" for number in range(3_000)), "dw:count:x"], False),
        (["auth_tenant:shop@example.org", "dw:ready"], False),
        (["auth_something_else", "sess:auth_tenant:x", "author_tenant:x"], False),
        ([], False),
    ],
)
async def test_C14_the_redis_of_backend_auth_is_warned_about(
    caplog: pytest.LogCaptureFixture, shared_redis: RedisServer, keys: list[str], *, is_warned_about: bool
) -> None:
    caplog.set_level(logging.WARNING)
    shared_redis.do("FLUSHALL")
    if keys:
        shared_redis.do("MSET", *(word for key in keys for word in (key, "x")))
    server = await check_server(Address.read(shared_redis.url))
    assert shared_redis.do("DBSIZE") == len(keys)
    shared_redis.do("FLUSHALL")
    assert server.is_predecessors is is_warned_about
    assert ("name another server or database in REDIS_URL" in caplog.text) is is_warned_about


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for `localhost` that proves itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    public, private = tmp_path / "cert.pem", tmp_path / "key.pem"
    public.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return public, private


@pytest.mark.slow
async def test_TR9_by_tls_only_a_server_that_proves_its_name_is_talked_to(
    shared_redis: RedisServer, certificate: tuple[Path, Path], opened: Opener
) -> None:
    with tls_before(shared_redis.port, *certificate) as port:
        good = f"rediss://localhost:{port}?ca={certificate[0]}"
        async with opened(good) as stores:
            session = user_session()
            await stores.sessions.open(session, cap=None)
            assert await stores.sessions.find(claimed(session)) == session
        for wrong in (f"rediss://localhost:{port}", f"rediss://127.0.0.1:{port}?ca={certificate[0]}"):
            with pytest.raises(CannotStart, match="is not trusted"):
                await check_server(Address.read(wrong), wait=5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://192.0.2.1", "REDIS_URL: a server on another machine needs TLS"),
        ("http://localhost", "REDIS_URL has to be redis://"),
        (f"redis://:{PASSWORD}@127.0.0.1:{{port}}", "REDIS_URL: 127.0.0.1:{port} rejects the user or the password."),
    ],
)
def test_a_start_that_cannot_be_ends_with_one_sentence_and_no_secret(
    shared_redis: RedisServer, tmp_path: Path, url: str, said: str
) -> None:
    process = subprocess.run(
        [sys.executable, "-m", "doorward", "serve"],
        env={"PATH": os.environ["PATH"], "JWT_KEY": KEY, "PORT": "0", "REDIS_URL": url.format(port=shared_redis.port)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert process.returncode == 1
    assert said.format(port=shared_redis.port) in process.stderr
    assert len(process.stderr.strip().splitlines()) == 1
    assert PASSWORD not in process.stderr + process.stdout
