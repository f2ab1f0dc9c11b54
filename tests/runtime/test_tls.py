"""TLS listeners: protocols, client certificates, and certificate reloads."""

import contextlib
import json
import signal
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from certificates import Authority, Pair
from doorward.core.errors import CannotStart
from doorward.runtime.tls import maintenance_context, public_context
from doorward.settings import Settings
from harness import PASSWORD, Process, serving
from tls_service import Site, ask, connect, settings_of

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")]

HSTS = "strict-transport-security: max-age=63072000; includeSubDomains"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("tls")
    authority = Authority(folder)
    server = authority.issue("server", file="server")
    with serving(folder, settings_of(authority, server)) as process:
        yield Site(folder, authority, server, authority.issue("rsa", kind="rsa"), process)


def outcome(port: int, context: ssl.SSLContext, email: str) -> str:
    """Register a tenant, and return the status, or how the connection was refused."""
    try:
        with connect(port, context) as stream:
            answer = ask(stream, "POST", "/tenant", {"email": email, "password": PASSWORD})
    except (ssl.SSLError, ConnectionError):
        return "cut off"
    return answer.split()[1] if answer else "cut off"


def test_TR8_only_tls_1_2_and_1_3_with_forward_secrecy_and_authenticated_encryption_are_spoken(site: Site) -> None:
    for name in ("https", "maintenance"):
        port = site.port(name)
        spoken = set()
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = site.trusting(site.authority.issue("operator"))
            context.minimum_version = context.maximum_version = version
            with connect(port, context) as stream:
                cipher = stream.cipher()
                assert cipher
                spoken.add(stream.version())
                assert stream.compression() is None
                assert any(mode in cipher[0] for mode in ("GCM", "CHACHA20"))
                assert ask(stream).startswith("HTTP/1.1 200")
        assert spoken == {"TLSv1.2", "TLSv1.3"}


def lenient(pair: Pair) -> ssl.SSLContext:
    """A server that speaks whatever this machine's OpenSSL does: what it does not speak, no client of it can offer."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.load_cert_chain(pair.both)
    return context


def shake_hands(client: ssl.SSLContext, server: ssl.SSLContext) -> str | None:
    """Let two contexts shake hands in memory, and return the version they agree on; SSLError where they do not."""
    inbox, outbox = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = client.wrap_bio(inbox, outbox, server_hostname="localhost")
    other = server.wrap_bio(outbox, inbox, server_side=True)
    for _ in range(4):
        for side in (one, other):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
    return one.version()


def refused(site: Site, context: ssl.SSLContext, why: str, certificate: Pair) -> None:
    assert shake_hands(context, lenient(certificate))
    for served in (public_context(certificate.both, ""), maintenance_context(certificate.both, site.authority.file)):
        with pytest.raises(ssl.SSLError, match=why):
            shake_hands(context, served)
    for name in ("https", "maintenance"):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            connect(site.port(name), context)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1], ids=lambda version: version.name)
def test_TR8_older_tls_is_refused(site: Site, version: ssl.TLSVersion) -> None:
    context = site.trusting()
    context.minimum_version = context.maximum_version = version
    context.set_ciphers("ALL:@SECLEVEL=0")
    refused(site, context, "unsupported protocol", site.server)


@pytest.mark.parametrize(
    ("cipher", "kind"),
    [
        ("ECDHE-ECDSA-AES128-SHA256", "ec"),
        ("ECDHE-ECDSA-AES256-SHA", "ec"),
        ("ECDHE-RSA-AES256-SHA384", "rsa"),
        ("AES128-GCM-SHA256", "rsa"),
        ("AES256-SHA", "rsa"),
    ],
)
def test_TR8_cbc_and_key_exchange_without_ecdhe_are_refused(site: Site, cipher: str, kind: str) -> None:
    context = site.trusting()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(f"{cipher}:@SECLEVEL=0")
    refused(site, context, "no shared cipher", site.rsa if kind == "rsa" else site.server)


def test_TR5_answers_over_tls_tell_browsers_to_stay_there_and_answers_without_do_not(site: Site) -> None:
    with connect(site.port("https"), site.trusting()) as stream:
        assert HSTS in ask(stream)
        assert HSTS in ask(stream, "GET", "/nowhere")
        question = ask(stream, "POST", "/tenant/verify", {"token": "a.b.c"})
        assert question.startswith("HTTP/1.1 400")
        assert HSTS in question
    with socket.create_connection(("127.0.0.1", site.process.port), timeout=10) as stream:
        assert "strict-transport-security" not in ask(stream)


def test_TR7_plain_http_at_a_tls_port_is_not_answered_and_nothing_redirects_to_it(site: Site) -> None:
    for name in ("https", "maintenance"):
        stream = socket.create_connection(("127.0.0.1", site.port(name)), timeout=10)
        with stream, contextlib.suppress(ConnectionError):
            assert not ask(stream).startswith("HTTP/")
    for path in ("/", "/tenant", "/tenant/", "/health/live", "/docs"):
        with socket.create_connection(("127.0.0.1", site.process.port), timeout=10) as stream:
            answer = ask(stream, "GET", path).lower()
            assert not answer.startswith("http/1.1 3")
            assert "\r\nlocation:" not in answer


def test_who_shows_an_accepted_certificate_may_register_tenants_from_any_address(site: Site) -> None:
    port = site.port("maintenance")
    operator, deputy = site.authority.issue("operator"), site.authority.issue("deputy", kind="rsa")
    assert outcome(port, site.trusting(operator), "one@example.org") == "200"
    assert outcome(port, site.trusting(deputy), "two@example.org") == "200"
    # The same certificate says nothing elsewhere.
    assert outcome(site.port("https"), site.trusting(operator), "three@example.org") == "403"


def test_who_shows_no_accepted_certificate_is_cut_off(site: Site) -> None:
    port = site.port("maintenance")
    stranger = Authority(site.folder, "stranger").issue("operator")
    # An authority with the name of the right one, and another key.
    (site.folder / "double").mkdir()
    double = Authority(site.folder / "double", "authority").issue("operator")
    shown = {
        "none": None,
        "another authority's": stranger,
        "an authority's of the same name": double,
        "one of another name": site.authority.issue("visitor"),
        "one whose name only begins like it": site.authority.issue("operator2"),
        "an expired one": site.authority.issue("operator", begins=-3, ends=-1),
        "one of tomorrow": site.authority.issue("operator", begins=1, ends=3),
    }
    found = {what: outcome(port, site.trusting(pair), "four@example.org") for what, pair in shown.items()}
    assert found == dict.fromkeys(shown, "cut off")
    assert outcome(port, site.trusting(site.authority.issue("operator")), "four@example.org") == "200"


def serial(port: int, context: ssl.SSLContext) -> int:
    with connect(port, context) as stream:
        shown = stream.getpeercert()
        assert shown
        return int(str(shown["serialNumber"]), 16)


def reloaded(process: Process, event: str, times: int) -> None:
    assert process.process
    before = process.log().count(event)
    process.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + 15
    while process.log().count(event) < before + times:
        assert time.monotonic() < deadline, process.log()
        time.sleep(0.02)


@pytest.mark.parametrize("workers", [1, 2])
def test_certificates_are_read_anew_on_SIGHUP_and_open_connections_go_on(tmp_path: Path, workers: int) -> None:
    authority = Authority(tmp_path)
    server = authority.issue("server", file="server")
    first_authority = Authority(tmp_path, "clients")
    environment = {**settings_of(authority, server), "WORKERS": str(workers)}
    environment["MAINTAIN_TLS_CA"] = first_authority.file
    with serving(tmp_path, environment) as process:
        site = Site(tmp_path, authority, server, server, process)
        https, maintenance = site.port("https"), site.port("maintenance")
        operator = first_authority.issue("operator")
        with connect(https, site.trusting()) as stream:
            assert ask(stream).startswith("HTTP/1.1 200")
            assert serial(https, site.trusting()) == server.serial
            new = authority.issue("server", file="server")
            second_authority = Authority(tmp_path, "clients")
            reloaded(process, '"event": "certificates reloaded"', workers)
            assert {serial(https, site.trusting()) for _ in range(6)} == {new.serial}
            assert ask(stream).startswith("HTTP/1.1 200")
            # Whoever the old authority vouched for is nobody now.
            assert {outcome(maintenance, site.trusting(operator), "a@example.org") for _ in range(4)} == {"cut off"}
            successor = second_authority.issue("operator")
            assert outcome(maintenance, site.trusting(successor), "a@example.org") == "200"
            # What cannot be used changes nothing.
            Path(server.certificate).write_text("nonsense")
            reloaded(process, '"event": "certificates not reloaded, the old ones stay"', workers)
            assert serial(https, site.trusting()) == new.serial
            assert ask(stream).startswith("HTTP/1.1 200")
        assert process.stop() in {0, -signal.SIGTERM}


def test_TR7_with_HTTP_SERVER_off_there_is_no_plain_http_at_all(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    environment = {**settings_of(authority, authority.issue("server")), "HTTP_SERVER": "off"}
    with serving(tmp_path, environment) as process:
        assert process.url.startswith("https://")
        with connect(process.port, ssl.create_default_context(cafile=authority.file)) as stream:
            assert ask(stream).startswith("HTTP/1.1 200")
        assert "http://" not in process.log()


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"HTTPS_CERT": ""}, "HTTPS_CERT is missing"),
        ({"HTTPS_CERT": "/nowhere.pem"}, "HTTPS_CERT and HTTPS_KEY cannot be used"),
        ({"HTTPS_KEY": "{other}"}, "HTTPS_CERT and HTTPS_KEY cannot be used"),
        ({"MAINTAIN_TLS_PEM": ""}, "MAINTAIN_TLS_PEM is missing"),
        ({"MAINTAIN_TLS_CA": ""}, "MAINTAIN_TLS_CA is missing"),
        ({"MAINTAIN_TLS_CA": "/nowhere.pem"}, "MAINTAIN_TLS_CA cannot be used"),
        ({"MAINTAIN_TLS_CA_CN": ""}, "MAINTAIN_TLS_CA_CN is missing"),
        ({"MAINTAIN_TLS_CA_CN": " , "}, "MAINTAIN_TLS_CA_CN has to be a list with at least one item"),
        ({"HTTP_SERVER": "off", "HTTPS_SERVER": "off"}, "HTTP_SERVER and HTTPS_SERVER are both off"),
        ({"MAINTAIN_TLS_PORT": "https"}, "MAINTAIN_TLS_PORT has to be a whole number from 0 to 65535, or off"),
    ],
)
def test_what_cannot_be_served_is_said_by_its_setting(tmp_path: Path, changed: dict[str, str], named: str) -> None:
    from doorward.runtime.server import check

    authority = Authority(tmp_path)
    other = authority.issue("other")
    given = {**settings_of(authority, authority.issue("server")), **changed}
    given = {name: value.replace("{other}", other.key) for name, value in given.items()}
    with pytest.raises(CannotStart, match=named):
        check(Settings.read(given, tmp_path))


def test_BF7_a_forwarded_address_is_not_believed_over_tls_either(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    environment = settings_of(authority, authority.issue("server"))
    with serving(tmp_path, environment) as process:
        port = Site(tmp_path, authority, authority.issue("x"), authority.issue("y"), process).port("https")
        with connect(port, ssl.create_default_context(cafile=authority.file)) as stream:
            content = json.dumps({"email": "a@example.org", "password": PASSWORD})
            stream.sendall(
                "POST /tenant HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: http\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n{content}".encode()
            )
            assert stream.recv(65_536).startswith(b"HTTP/1.1 403")
