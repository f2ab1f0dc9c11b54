"""PostgreSQL: start checks, row-level security, outages, migrations."""

import asyncio
import datetime as dt
import multiprocessing
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from doorward.core.errors import CannotStart, StoreUnavailable
from doorward.storage.postgres.address import Address
from doorward.storage.postgres.database import PostgresDatabase
from doorward.storage.postgres.schema import WORDS, _check
from doorward.storage.relational import email_keys
from doorward.storage.relational.statements import load_migrations, load_statements
from doorward.stores import Stores, migrate, select_stores
from factories import NOW, claimed, kept_tenant, make_tenant, make_user, tenant_session, user_session
from harness import KEY, PASSWORD, Service, Tenant, read_settings, running, serving
from servers import Database, OwnPostgres, Servers, own_postgresql, postgresql_tls

OUTAGE = 1.5
RECOVERY = 3.0


@pytest.fixture
def database(servers: Servers) -> Iterator[Database]:
    """An empty database of its own for a test."""
    server = servers.postgresql
    database = server.make_database()
    yield database
    server.drop(database)


def environment(url: str, **more: str) -> dict[str, str]:
    return {"DATABASE_URL": url, "DATABASE_WAIT": "0", **more}


@asynccontextmanager
async def opened(folder: Path, url: str, **more: str) -> AsyncIterator[Stores]:
    stores = select_stores(read_settings(folder, environment(url, **more)))
    await stores.open()
    try:
        yield stores
    finally:
        await stores.close()


def refusal(folder: Path, url: str) -> str:
    """Start as the command line does, and return the sentence it refuses with."""
    started = time.monotonic()
    with pytest.raises(CannotStart) as refused:
        migrate(read_settings(folder, environment(url)))
    assert time.monotonic() - started < 5
    return str(refused.value)


# Refusals to start


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("?sslmode=prefer", "sslmode has to be one of disable, require, verify-ca, verify-full."),
        ("?sslmode=allow", "sslmode has to be one of disable, require, verify-ca, verify-full."),
        ("?sslmod=disable", "sslmod is not one of"),
        ("?target_session_attrs=any", "only the primary is used."),
        ("?target_session_attrs=standby", "only the primary is used."),
        ("?sslmode=verify-full&sslrootcert=/no/such/file", "a file of sslrootcert, sslcert or sslkey cannot be used"),
        ("?sslmode=verify-full", "offers no usable TLS"),
    ],
)
def test_TR9_a_url_that_asks_for_less_than_it_should_is_refused(
    database: Database, tmp_path: Path, query: str, sentence: str
) -> None:
    said = refusal(tmp_path, database.url + query)
    assert said.startswith("DATABASE_URL: ")
    assert sentence in said
    assert database.password not in said


@pytest.mark.parametrize(
    ("url", "encrypted", "proven"),
    [
        ("postgresql://u:p@127.0.0.1/d", False, False),
        ("postgresql://u:p@[::1]:5433/d", False, False),
        ("postgresql://u:p@localhost/d", False, False),
        ("postgresql:///d?host=/var/run/postgresql", False, False),
        ("postgresql://u:p@db/d", True, True),
        ("postgresql://u:p@10.0.0.1/d", True, True),
        ("postgresql://u:p@localhost.evil.example/d", True, True),
        ("postgresql://u:p@localhost,db/d", True, True),
        ("postgresql://u:p@db/d?sslmode=require", True, False),
        ("postgresql://u:p@db/d?sslmode=disable", False, False),
        ("postgresql://u:p@localhost/d?sslmode=verify-full", True, True),
    ],
)
def test_TR9_whoever_is_not_on_this_machine_has_to_prove_its_name(url: str, encrypted: bool, proven: bool) -> None:  # noqa: FBT001 - a table
    address = Address.read(url)
    assert (address.tls is not None) == encrypted
    assert (address.tls is not None and address.tls.check_hostname) == proven
    assert "p" not in repr(address).split("password")[-1][:3]


def test_a_url_holds_what_libpq_would_read_from_it() -> None:
    address = Address.read("postgres://us%40er:p%3A%2F%40ss@one:1,two/my%20db?port=2&sslmode=disable")
    assert (address.hosts, address.ports) == (("one", "two"), (1, 2))
    assert (address.user, address.password, address.database) == ("us@er", "p:/@ss", "my db")


@pytest.mark.parametrize(
    "url", ["postgresql://u:hunter2@host:port/d", "postgresql://u:hun#ter2@h/d", "postgresql://[::1/d"]
)
def test_a_url_that_cannot_be_read_is_refused_without_repeating_it(tmp_path: Path, url: str) -> None:
    said = refusal(tmp_path, url)
    assert said == "DATABASE_URL has to be postgresql://user:password@host:port/database."


def test_a_server_that_is_not_there_a_wrong_password_and_a_missing_database_are_told_apart(
    database: Database, tmp_path: Path
) -> None:
    assert "cannot be reached" in refusal(tmp_path, "postgresql://u:hunter2@127.0.0.1:1/d")
    wrong = refusal(tmp_path, database.address(database.role, "hunter2"))
    assert f"rejected the user {database.role}" in wrong
    missing = refusal(tmp_path, f"{database.url.rpartition('/')[0]}/no_such_database")
    assert "has no database no_such_database" in missing
    assert "hunter2" not in wrong + missing
    assert database.password not in wrong + missing


@pytest.mark.parametrize("power", ["SUPERUSER", "BYPASSRLS"])
def test_TI7_a_role_that_no_wall_stops_is_refused(database: Database, tmp_path: Path, power: str) -> None:
    database.run(f"ALTER ROLE {database.role} {power}")
    said = refusal(tmp_path, database.url)
    assert "is a superuser or has BYPASSRLS" in said
    assert "CREATE ROLE" in said
    assert database.run("SELECT to_regclass('users')")[0][0] is None


@pytest.mark.parametrize("weak", ["off", "local", "remote_write"])
def test_DU2_a_server_that_acknowledges_too_early_is_refused(database: Database, tmp_path: Path, weak: str) -> None:
    database.run(f"ALTER ROLE {database.role} SET synchronous_commit = {weak}")
    assert f"synchronous_commit = {weak}" in refusal(tmp_path, database.url)


async def test_a_server_that_is_too_old_is_refused() -> None:
    class Old:
        def get_server_version(self) -> Any:
            return asyncpg.types.ServerVersion(12, 22, 0, "final", 0)

    with pytest.raises(CannotStart, match="PostgreSQL 12 is too old, 13 or newer is required"):
        await _check(Old())


def test_CF1_postgresql_without_a_master_key_is_refused(database: Database, tmp_path: Path) -> None:
    with pytest.raises(CannotStart, match="JWT_KEY is missing"):
        read_settings(tmp_path, environment(database.url, JWT_KEY="")).with_master_key()
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_DU8_a_standby_is_refused(tmp_path: Path) -> None:
    with own_postgresql() as server:
        database = server.make_database()
        migrate(read_settings(tmp_path, environment(database.url)))
        server.stop()
        (server.folder / "data" / "standby.signal").touch()
        server.start()
        assert server.run("SELECT pg_is_in_recovery()")[0][0]
        assert "is a standby" in refusal(tmp_path, database.url)


def _certificate(folder: Path, *names: x509.GeneralName) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "database")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "server.crt", folder / "server.key"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate_file, key_file


def test_TR9_a_server_has_to_prove_its_name_by_a_certificate_that_is_trusted(
    database: Database, tmp_path: Path
) -> None:
    certificate, key = _certificate(tmp_path, x509.DNSName("localhost"))
    real = urlsplit(database.url)
    with postgresql_tls(real.port or 0, certificate, key) as port:
        address = database.url.replace(f":{real.port}/", f":{port}/")
        name = address.replace("127.0.0.1", "localhost")
        not_proven = "is not trusted"
        assert not_proven in refusal(tmp_path, f"{name}?sslmode=verify-full")
        assert not_proven in refusal(tmp_path, f"{address}?sslmode=verify-full&sslrootcert={certificate}")
        assert not_proven in refusal(tmp_path, f"{address}?sslmode=verify-ca")
        for url in [
            f"{name}?sslmode=verify-full&sslrootcert={certificate}",
            f"{address}?sslmode=verify-ca&sslrootcert={certificate}",
            f"{address}?sslmode=require",
        ]:
            migrate(read_settings(tmp_path, environment(url)))


@pytest.mark.slow
def test_an_operator_is_told_in_one_sentence_and_never_the_password(database: Database, tmp_path: Path) -> None:
    database.run(f"ALTER ROLE {database.role} SUPERUSER")
    with pytest.raises(RuntimeError, match="did not start"), serving(tmp_path, environment(database.url, JWT_KEY=KEY)):
        pass
    said = (tmp_path / "log.txt").read_text()
    assert said.count("\n") == 1
    assert said.startswith("doorward cannot start. DATABASE_URL: the role")
    assert database.password not in said


@pytest.mark.slow
def test_several_workers_serve_from_one_database_and_show_nobody_its_password(
    database: Database, tmp_path: Path
) -> None:
    with serving(tmp_path, environment(database.url, JWT_KEY=KEY, WORKERS="3")) as process:
        import httpx

        with httpx.Client(base_url=process.url) as client:
            tenant = Tenant.register(client, "shop@example.org", PASSWORD)
            tenant.create("alice", "pw")
            token = tenant.session("alice", "pw")
        for _ in range(12):
            with httpx.Client(base_url=process.url) as client:
                tenant.http = client
                assert tenant.verify(token).status_code == 200
        assert process.stop() == 0
        assert f"PostgreSQL at {database.url.rpartition('@')[2]}" in process.log()
        assert database.password not in process.log()


# The statements


async def test_every_statement_is_understood_by_postgresql(database: Database, tmp_path: Path) -> None:
    migrate_in_thread = asyncio.to_thread(migrate, read_settings(tmp_path, environment(database.url)))
    await migrate_in_thread
    connection = await asyncpg.connect(database.url)
    try:
        for name, statement in load_statements("$").items():
            try:
                prepared = await connection.prepare(statement.sql)
            except asyncpg.PostgresError as error:
                raise AssertionError(f"{name}: {error}") from error
            assert len(prepared.get_parameters()) == len(statement.parameters), name
    finally:
        await connection.close()


async def test_names_are_ordered_by_code_point_whatever_the_databases_own_order_is(
    database: Database, tmp_path: Path
) -> None:
    async with opened(tmp_path, database.url):
        rows = await asyncio.to_thread(
            database.run,
            "SELECT table_name, column_name FROM information_schema.columns WHERE collation_name = 'C'",
        )
    assert {("users", "login_key"), ("revocations", "name")} <= {tuple(row) for row in rows}


# The second wall between tenants


async def test_TI7_a_statement_sees_only_the_tenant_its_transaction_was_opened_for(
    database: Database, tmp_path: Path
) -> None:
    async with opened(tmp_path, database.url, DATABASE_POOL="2") as stores:
        mine, theirs = await kept_tenant(stores.accounts), await kept_tenant(stores.accounts)
        for tenant in (mine, theirs):
            assert await stores.accounts.add_user(make_user(tenant.id, login="alice"))
    connection = await asyncpg.connect(database.url)
    try:
        assert await connection.fetchval("SELECT count(*) FROM users") == 0
        assert await connection.execute("UPDATE users SET password_hash = 'x'") == "UPDATE 0"
        assert await connection.execute("DELETE FROM users") == "DELETE 0"
        async with connection.transaction():
            await connection.execute("SELECT set_config('doorward.tenant', $1, true)", mine.id)
            assert [row[0] for row in await connection.fetch("SELECT tenant_id FROM users")] == [mine.id]
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with connection.transaction():
                    await connection.execute("UPDATE users SET tenant_id = $1", theirs.id)
        assert await connection.fetchval("SELECT count(*) FROM users") == 0
    finally:
        await connection.close()


async def test_TI7_every_table_with_a_tenants_users_is_guarded_also_from_its_owner(
    database: Database, tmp_path: Path
) -> None:
    async with opened(tmp_path, database.url):
        rows = await asyncio.to_thread(
            database.run,
            "SELECT relname, relforcerowsecurity FROM pg_class WHERE relrowsecurity AND relkind = 'r'",
        )
    assert ("users", True) in {tuple(row) for row in rows}
    assert all(forced for _, forced in rows)


async def test_TI7_a_connection_that_served_one_tenant_carries_nothing_over_to_the_next(
    database: Database, tmp_path: Path
) -> None:
    async with opened(tmp_path, database.url, DATABASE_POOL="2") as stores:
        tenants = [await kept_tenant(stores.accounts) for _ in range(4)]
        users = [make_user(tenant.id, login="alice") for tenant in tenants]
        assert all(await asyncio.gather(*(stores.accounts.add_user(user) for user in users)))
        database_ = stores.database
        assert isinstance(database_, PostgresDatabase)
        for _ in range(5):
            found = await asyncio.gather(*(stores.accounts.user_by_login(user.tenant_id, "alice") for user in users))
            assert found == users
            left = await database_._run_by_deadline(
                lambda connection: connection.fetchrow(
                    "SELECT current_setting('doorward.tenant', true), current_setting('doorward.users', true)"
                )
            )
            assert set(left) <= {"", None}
        await stores.accounts.touch_users({users[0].id: NOW + 1}, now=NOW)
        assert (
            await database_._run_by_deadline(lambda connection: connection.fetchval("SELECT count(*) FROM users")) == 0
        )


# Deadlines, retries, outages


def _on_new_tenant(database: Database, body: str) -> None:
    database.run(
        "CREATE SEQUENCE tries",
        f"GRANT ALL ON SEQUENCE tries TO {database.role}",
        f"CREATE FUNCTION hindered() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} RETURN new; END $$",
        "CREATE TRIGGER hindrance BEFORE INSERT ON tenants FOR EACH ROW EXECUTE FUNCTION hindered()",
    )


def _tries(database: Database) -> int:
    return int(database.run("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM tries")[0][0])


@pytest.mark.parametrize("sqlstate", ["40001", "40P01"])
async def test_a_write_that_was_rolled_back_for_others_sake_is_done_again(
    database: Database, tmp_path: Path, sqlstate: str
) -> None:
    async with opened(tmp_path, database.url) as stores:
        body = f"IF nextval('tries') < 3 THEN RAISE EXCEPTION USING ERRCODE = '{sqlstate}'; END IF;"
        await asyncio.to_thread(_on_new_tenant, database, body)
        assert await stores.accounts.add_tenant(make_tenant())
        assert await asyncio.to_thread(_tries, database) == 3


async def test_a_write_that_is_rolled_back_again_and_again_is_given_up(database: Database, tmp_path: Path) -> None:
    async with opened(tmp_path, database.url) as stores:
        body = "PERFORM nextval('tries'); RAISE EXCEPTION USING ERRCODE = '40001';"
        await asyncio.to_thread(_on_new_tenant, database, body)
        with pytest.raises(StoreUnavailable):
            await stores.accounts.add_tenant(make_tenant())
        assert await asyncio.to_thread(_tries, database) == 4


async def test_F15_a_full_disk_of_the_server_is_named_and_logged_once(
    database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(tmp_path, database.url) as stores:
        await asyncio.to_thread(_on_new_tenant, database, "RAISE EXCEPTION USING ERRCODE = '53100';")
        for _ in range(3):
            with pytest.raises(StoreUnavailable) as refused:
                await stores.accounts.add_tenant(make_tenant())
            assert refused.value.full == "the disk of the database"
            assert await stores.accounts.tenant_by_email("shop@example.org") is None
        assert [line.message for line in caplog.records] == ["store full: writes rejected"]


async def test_OU3_a_write_whose_end_is_unknown_is_never_repeated(database: Database, tmp_path: Path) -> None:
    async with opened(tmp_path, database.url) as stores:
        body = "IF nextval('tries') = 1 THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF;"
        await asyncio.to_thread(_on_new_tenant, database, body)
        with pytest.raises(StoreUnavailable):
            await stores.accounts.add_tenant(make_tenant())
        assert await asyncio.to_thread(_tries, database) == 1
        assert await stores.accounts.add_tenant(make_tenant())


async def test_OU3_a_statement_that_takes_too_long_is_given_up_and_costs_no_connection(
    database: Database, tmp_path: Path
) -> None:
    async with opened(tmp_path, database.url, DATABASE_POOL="2") as stores:
        await asyncio.to_thread(_on_new_tenant, database, "PERFORM pg_sleep(30);")
        before = await asyncio.to_thread(_backends, database)
        started = time.monotonic()
        answers = await asyncio.gather(
            *(stores.accounts.add_tenant(make_tenant()) for _ in range(2)), return_exceptions=True
        )
        assert [type(answer) for answer in answers] == [StoreUnavailable] * 2
        assert time.monotonic() - started < OUTAGE
        assert before <= await asyncio.to_thread(_backends, database)
        assert await stores.accounts.tenant_by_id("nobody") is None


def _backends(database: Database) -> set[int]:
    rows = database.run(
        f"SELECT pid FROM pg_stat_activity WHERE usename = '{database.role}' AND application_name = 'doorward'"
    )
    return {row[0] for row in rows}


async def test_OU2_whoever_gives_up_takes_no_connection_along(database: Database, tmp_path: Path) -> None:
    async with opened(tmp_path, database.url, DATABASE_POOL="2") as stores:
        tenant = await kept_tenant(stores.accounts)
        session = tenant_session(tenant.id)
        await stores.sessions.open(session, cap=None)
        for cycle in range(100):
            calls = [
                asyncio.ensure_future(stores.accounts.tenant_by_id(tenant.id)),
                asyncio.ensure_future(stores.sessions.find(claimed(session))),
                asyncio.ensure_future(stores.accounts.add_user(make_user(tenant.id))),
            ]
            await asyncio.sleep(cycle % 5 / 2000)
            for call in calls:
                call.cancel()
        assert await stores.accounts.tenant_by_id(tenant.id) == tenant
        assert await stores.sessions.find(claimed(session)) == session
        assert len(await asyncio.to_thread(_backends, database)) <= 2


async def test_S1_large_writes_leave_connections_to_everything_else(database: Database, tmp_path: Path) -> None:
    async with opened(tmp_path, database.url, DATABASE_POOL="4") as stores:
        tenant = await kept_tenant(stores.accounts)
        session = tenant_session(tenant.id)
        await stores.sessions.open(session, cap=None)
        blocking = await asyncpg.connect(database.url)
        try:
            await blocking.execute("BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
            imports = [
                asyncio.ensure_future(stores.accounts.add_users([make_user(tenant.id) for _ in range(100)]))
                for _ in range(10)
            ]
            await asyncio.sleep(0.2)
            assert await stores.sessions.find(claimed(session)) == session
            assert not any(one.done() for one in imports)
        finally:
            await blocking.close()
        assert await asyncio.gather(*imports) == [[True] * 100] * 10


async def test_F15_a_write_that_takes_too_long_leaves_the_service_ready(database: Database, tmp_path: Path) -> None:
    async with opened(tmp_path, database.url, DATABASE_POOL="2") as stores:
        await asyncio.to_thread(_on_new_tenant, database, "PERFORM pg_sleep(30);")
        with pytest.raises(StoreUnavailable):
            await stores.accounts.add_tenant(make_tenant())
        await stores.checks["database"]()


async def test_S1_long_reads_leave_connections_to_everything_else(database: Database, tmp_path: Path) -> None:
    async with opened(tmp_path, database.url, DATABASE_POOL="4") as stores:
        tenant = await kept_tenant(stores.accounts)
        session = tenant_session(tenant.id)
        await stores.sessions.open(session, cap=None)
        blocking = await asyncpg.connect(database.url)
        try:
            await blocking.execute("BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE")
            reads = [asyncio.ensure_future(stores.accounts.list_users(tenant.id, after="", limit=1)) for _ in range(30)]
            await asyncio.sleep(0.2)
            assert await stores.sessions.find(claimed(session)) == session
            assert not any(read.done() for read in reads)
        finally:
            await blocking.close()
        assert await asyncio.gather(*reads) == [[]] * 30


async def test_sessions_asked_for_in_one_moment_are_one_trip(database: Database, tmp_path: Path) -> None:
    async with opened(tmp_path, database.url, DATABASE_POOL="2") as stores:
        sessions = [user_session("tenant", str(uuid4())) for _ in range(50)]
        for session in sessions:
            await stores.sessions.open(session, cap=None)
        database_ = stores.database
        assert isinstance(database_, PostgresDatabase)
        await asyncio.gather(*(stores.accounts.tenant_by_id("nobody") for _ in range(10)))
        asked: list[Any] = []
        for connection in database_._pool._idle:
            connection.add_query_logger(asked.append)
        assert len(database_._pool._idle) == 2
        assert await asyncio.gather(*(stores.sessions.find(claimed(session)) for session in sessions)) == sessions
        assert len(asked) == 1


def _timed(call: Any) -> tuple[float, Any]:
    started = time.monotonic()
    answer = call()
    return time.monotonic() - started, answer


def _see_an_outage(service: Service, tenant: Tenant, token: str) -> None:
    """Look at a service whose database is away: every answer says so in time, and none says more than it knows."""
    for call in (
        lambda: tenant.verify(token),
        lambda: tenant.verify("garbage.of.aclient"),
        lambda: tenant.login("alice", "pw"),
        lambda: tenant.create("bob", "pw"),
        lambda: tenant.logout(token),
    ):
        took, answer = _timed(call)
        assert took < OUTAGE
        assert answer.status_code == 503, answer.text
        assert answer.headers["retry-after"] == "1"
    took, ready = _timed(lambda: service.client().get("/health/ready"))
    assert took < OUTAGE
    assert ready.status_code == 503
    assert "away" in ready.text
    assert "database" in ready.text
    assert service.client().get("/health/live").status_code == 200


def _see_a_recovery(service: Service, tenant: Tenant, token: str) -> None:
    deadline = time.monotonic() + RECOVERY
    while (answer := tenant.verify(token)).status_code == 503:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert answer.status_code == 200
    assert tenant.create("carol", "pw").status_code in {200, 409}
    service.eventually(lambda: service.client().get("/health/ready").status_code == 200, seconds=3)


@pytest.fixture(scope="module")
def fragile() -> Iterator[OwnPostgres]:
    """A server that tests may break, as long as they mend it."""
    with own_postgresql() as server:
        yield server


@pytest.mark.slow
def test_OU2_F15_a_database_that_refuses_writes_is_unready(fragile: OwnPostgres, tmp_path: Path) -> None:
    database = fragile.make_database()

    def turn(writes: str) -> None:
        fragile.run(f"ALTER ROLE {database.role} SET default_transaction_read_only = {writes}")
        fragile.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{database.role}'")

    def is_ready() -> bool:
        return service.client().get("/health/ready").status_code == 200

    with running(read_settings(tmp_path, environment(database.url))) as service:
        tenant = service.tenant()
        tenant.create("alice", "pw")
        turn("on")
        service.eventually(lambda: not is_ready(), seconds=3)
        assert tenant.login("alice", "pw").status_code == 503
        turn("off")
        service.eventually(is_ready, seconds=3)
        assert tenant.login("alice", "pw").status_code == 200


@pytest.mark.slow
@pytest.mark.parametrize("outage", ["killed", "frozen"])
def test_OU2_an_outage_is_said_in_time_and_healed_without_a_restart(
    fragile: OwnPostgres, tmp_path: Path, outage: str
) -> None:
    database = fragile.make_database()
    with running(read_settings(tmp_path, environment(database.url))) as service:
        tenant = service.tenant()
        assert tenant.create("alice", "pw").status_code == 200
        token = tenant.session("alice", "pw")
        if outage == "killed":
            fragile.kill()
            try:
                _see_an_outage(service, tenant, token)
            finally:
                fragile.start()
        else:
            fragile.freeze()
            try:
                _see_an_outage(service, tenant, token)
            finally:
                fragile.thaw()
        _see_a_recovery(service, tenant, token)
        pool = fragile.run(f"SELECT count(*) FROM pg_stat_activity WHERE usename = '{database.role}'")
        assert pool[0][0] <= service.settings.database_pool


@pytest.mark.slow
async def test_OU2_an_outage_is_no_reason_to_storm_the_server(fragile: OwnPostgres, tmp_path: Path) -> None:
    database = await asyncio.to_thread(fragile.make_database)
    async with opened(tmp_path, database.url) as stores:
        await asyncio.to_thread(database.run, f"ALTER ROLE {database.role} NOLOGIN")
        await asyncio.to_thread(
            database.run, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{database.role}'"
        )
        before = (fragile.folder / "log.txt").read_text().count("is not permitted to log in")
        deadline = time.monotonic() + 2
        refused = 0
        while time.monotonic() < deadline:
            answers = await asyncio.gather(
                *(stores.accounts.tenant_by_id("nobody") for _ in range(20)), return_exceptions=True
            )
            refused += sum(isinstance(answer, StoreUnavailable) for answer in answers)
            await asyncio.sleep(0.01)
        tried = (fragile.folder / "log.txt").read_text().count("is not permitted to log in") - before
        assert refused > 200
        assert 2 <= tried <= 12
        await asyncio.to_thread(database.run, f"ALTER ROLE {database.role} LOGIN")
        await asyncio.sleep(1.1)
        assert await stores.accounts.tenant_by_id("nobody") is None


@pytest.mark.slow
def test_OU4_a_server_that_appears_in_time_is_waited_for(fragile: OwnPostgres, tmp_path: Path) -> None:
    import threading

    database = fragile.make_database()
    fragile.stop()
    late = threading.Timer(1.0, fragile.start)
    late.start()
    try:
        migrate(read_settings(tmp_path, {"DATABASE_URL": database.url, "DATABASE_WAIT": "20"}))
    finally:
        late.join()


# Migrations


def _migrate(folder: str, url: str, gate: Any) -> None:
    settings = read_settings(Path(folder), environment(url))
    gate.wait(20)
    migrate(settings)


@pytest.mark.slow
def test_UP3_eight_that_start_at_once_migrate_once(database: Database, tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    gate = spawn.Barrier(8)
    starters = [spawn.Process(target=_migrate, args=(str(tmp_path), database.url, gate)) for _ in range(8)]
    for starter in starters:
        starter.start()
    for starter in starters:
        starter.join(60)
    assert [starter.exitcode for starter in starters] == [0] * 8
    newest = load_migrations("postgresql", {"BYTES": "", "BINARY": "", "CLUSTERED": ""})[-1].version
    assert [row[0] for row in database.run("SELECT version FROM doorward_schema")] == [newest]


def test_UP5_UP7_a_newer_schema_is_refused_and_left_alone(database: Database, tmp_path: Path) -> None:
    settings = read_settings(tmp_path, environment(database.url))
    migrate(settings)
    database.run("UPDATE doorward_schema SET version = 9999", "DROP TABLE ended")
    assert "schema version 9999, this program knows only up to" in refusal(tmp_path, database.url)
    assert database.run("SELECT to_regclass('ended')")[0][0] is None
    assert database.run("SELECT version FROM doorward_schema")[0][0] == 9999


def test_UP2_a_migration_that_fails_leaves_nothing_behind_and_can_be_tried_again(
    database: Database, tmp_path: Path
) -> None:
    database.run("CREATE TABLE attempts (mine TEXT)", f"ALTER TABLE attempts OWNER TO {database.role}")
    assert "rejected the checks or the migration" in refusal(tmp_path, database.url)
    assert database.run("SELECT to_regclass('users'), to_regclass('doorward_schema')")[0][:] == (None, None)
    database.run("DROP TABLE attempts")
    migrate(read_settings(tmp_path, environment(database.url)))


async def test_N6_users_of_a_former_schema_are_found_by_address_after_the_migration(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrations = load_migrations("postgresql", WORDS)
    settings = read_settings(tmp_path, environment(database.url))
    with monkeypatch.context() as former:
        known = [step for step in migrations if step.version < email_keys.SINCE]
        former.setattr("doorward.storage.postgres.schema.load_migrations", lambda *_: known)
        await asyncio.to_thread(migrate, settings)
    users = {"ada": "Ada@Example.org", "bea": "GÜNTHER@Straße.example"}
    tenants = [str(uuid4()), str(uuid4())]
    for tenant_id in tenants:
        await asyncio.to_thread(
            database.run,
            f"INSERT INTO tenants (id, email, email_key, password_hash, credentials, created_at) "
            f"VALUES ('{tenant_id}', '{tenant_id}', '{tenant_id}', '', 1, 1)",
            *(
                f"INSERT INTO users (id, tenant_id, login, login_key, email, sub, password_hash, credentials, "
                f"registration_date, last_activity) "
                f"VALUES ('{uuid4()}', '{tenant_id}', '{login}', '{login}', '{email}', '{login}', '', 1, 1, 1)"
                for login, email in users.items()
            ),
        )
    async with opened(tmp_path, database.url) as stores:
        for tenant_id in tenants:
            for login, spelling in {"ada": "ada@example.ORG", "bea": "günther@STRASSE.example"}.items():
                found = await stores.accounts.users_by_email(tenant_id, spelling, after="", limit=9)
                assert [user.login for user in found.users] == [login]
    [row] = await asyncio.to_thread(database.run, "SELECT relforcerowsecurity FROM pg_class WHERE relname = 'users'")
    assert row[0], "the table's owner sees the users of every tenant"


@pytest.mark.parametrize(
    ("statement", "index"), [("users_by_email", "users_by_email"), ("users_by_sub", "users_by_sub")]
)
async def test_N6_users_are_found_by_an_index_under_row_level_security(
    database: Database, tmp_path: Path, statement: str, index: str
) -> None:
    async with opened(tmp_path, database.url) as stores:
        tenant = await kept_tenant(stores.accounts)
        made = [make_user(tenant.id, email=f"{n}@example.org", sub=f"{n}") for n in range(2_000)]
        for start in range(0, len(made), 500):
            assert all(await stores.accounts.add_users(made[start : start + 500]))
    await asyncio.to_thread(database.run, "ANALYZE users")
    found = load_statements("$")[statement]
    values = {"tenant_id": tenant.id, "email_key": "7@example.org", "sub": "7", "after": "", "limit": 10}
    connection = await asyncpg.connect(database.url)
    try:
        async with connection.transaction():
            await connection.fetch("SELECT set_config('doorward.tenant', $1, true)", tenant.id)
            plan = await connection.fetch(f"EXPLAIN {found.sql}", *found.arguments(values))
    finally:
        await connection.close()
    text = "\n".join(row[0] for row in plan)
    assert f"Index Scan using {index}" in text, text
    assert "Sort" not in text, text


async def test_a_role_that_may_not_change_the_schema_is_enough_once_it_is_current(
    database: Database, tmp_path: Path
) -> None:
    worker = f"{database.role}_worker"
    await asyncio.to_thread(migrate, read_settings(tmp_path, environment(database.url)))
    await asyncio.to_thread(
        database.run,
        f"CREATE ROLE {worker} LOGIN PASSWORD 'pw'",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {worker}",
        f"REVOKE INSERT, UPDATE, DELETE ON doorward_schema FROM {worker}",
    )
    try:
        async with opened(tmp_path, database.address(worker, "pw")) as stores:
            tenant = await kept_tenant(stores.accounts)
            user = make_user(tenant.id)
            assert await stores.accounts.add_user(user)
            assert await stores.accounts.user_by_id(tenant.id, user.id) == user
            session = user_session(tenant.id, user.id)
            await stores.sessions.open(session, cap=1)
            assert await stores.sessions.find(claimed(session)) == session
            assert await stores.counters.consume("key", period=1, burst=1, now=NOW) == 0
    finally:
        await asyncio.to_thread(database.run, f"DROP OWNED BY {worker}", f"DROP ROLE {worker}")


@pytest.mark.parametrize("database_", ["sqlite", "postgresql"])
def test_the_steps_of_a_schema_have_numbers_of_their_own(database_: str) -> None:
    versions = [step.version for step in load_migrations(database_, {"BYTES": "", "BINARY": "", "CLUSTERED": ""})]
    assert versions == sorted(set(versions))
    assert versions[0] == 1
