"""Resource servers with the configurations of docs/oauth-resource-servers.md, in front of a real Doorward over TLS."""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness import without
from servers import free_port

PAGE = Path(__file__).parents[2] / "docs" / "oauth-resource-servers.md"
ISSUER = "https://auth.example.org"
API = "https://api.example.org"
NODE = Path(sys.prefix) / "node" / "node_modules"
"""Folder into which `make test` installs the packages of tests/oauth/node/package-lock.json."""
NODE_PROGRAMS = Path(sys.prefix) / "node" / "nodejs" / "bin"
"""Folder of the Node.js that `make test` installs."""

_BLOCK = re.compile(r"^```(\w+)\n(?:(?://|#) ([\w.]+)\n)?(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Place:
    """The Doorward that a resource server asks: its issuer, the file of its authority, and the server's API key."""

    issuer: str
    authority: str
    key_id: str
    key: str


@dataclass(frozen=True)
class Kind:
    """A kind of resource server: the heading of its section, and how it is started in a folder on a port."""

    heading: str
    start: Callable[[Path, int], list[str]]
    write: Callable[[Path, Place, int], None]


@dataclass
class ResourceServer:
    """A resource server that runs."""

    folder: Path
    url: str

    def log(self) -> str:
        return "".join(file.read_text(errors="replace") for file in sorted(self.folder.glob("*.txt")))


def blocks(heading: str, level: int = 3) -> dict[str, str]:
    """Return the code of a section of the page by the name in its first line, or by its language where it has none."""
    text = PAGE.read_text(encoding="utf-8")
    _, found, rest = text.partition(f"\n{'#' * level} {heading}\n")
    assert found, f"the page has no section {heading}"
    # A comment in code has no empty line before it.
    section = re.split(rf"\n\n#{{1,{level}}} ", rest)[0] + "\n"
    return {name or language: code for language, name, code in _BLOCK.findall(section)}


def _write(files: Mapping[str, str], folder: Path, place: Place, port: int) -> None:
    for name, code in files.items():
        text = code.replace(ISSUER, place.issuer).replace(API, f"http://127.0.0.1:{port}")
        (folder / name).write_text(text)


def _node(heading: str, package: str) -> Kind:
    def write(folder: Path, place: Place, port: int) -> None:
        if not (NODE / package).exists():
            without(f"{package} is missing, and its configuration has to be tried: `make test` installs it")
        server = {"server.mjs": blocks("Node.js", level=2)["server.mjs"]}
        _write({**server, **blocks(heading)}, folder, place, port)
        (folder / "node_modules").mkdir()
        (folder / "node_modules" / package.removesuffix("-5")).symlink_to(NODE / package)

    return Kind(heading, lambda _folder, _port: [str(NODE_PROGRAMS / "node"), "server.mjs"], write)


def _flask(heading: str) -> Kind:
    def start(_folder: Path, port: int) -> list[str]:
        return [sys.executable, "-m", "flask", "--app", "app", "run", "--port", str(port)]

    return Kind(heading, start, lambda folder, place, port: _write(blocks(heading), folder, place, port))


def _django(heading: str) -> Kind:
    def start(_folder: Path, port: int) -> list[str]:
        migrated = f"{sys.executable} -m django migrate --verbosity 0"
        served = f"exec {sys.executable} -m django runserver --noreload 127.0.0.1:{port}"
        return ["/bin/sh", "-c", f"{migrated} && {served}"]

    return Kind(heading, start, lambda folder, place, port: _write(blocks(heading), folder, place, port))


_APACHE = """
ServerRoot {folder}
ServerName localhost
Listen 127.0.0.1:{port}
PidFile {folder}/apache.pid
ErrorLog {folder}/apache.txt
DefaultRuntimeDir {folder}
DocumentRoot {folder}/site
{account}
{modules}
Mutex file:{folder}
OIDCCABundlePath {authority}
Header always set X-User "expr=%{{REMOTE_USER}}"
"""
_MODULES = ("mpm_event", "authn_core", "authz_core", "authz_user", "headers", "auth_openidc")
_MODULE_FOLDER = Path("/usr/lib/apache2/modules")


def _apache(heading: str) -> Kind:
    def write(folder: Path, place: Place, port: int) -> None:
        if not (_MODULE_FOLDER / "mod_auth_openidc.so").exists():
            packages = "apache2 libapache2-mod-auth-openidc"
            without(f"mod_auth_openidc is missing, and its configuration has to be tried: apt-get install {packages}")
        shown = blocks(heading)["apache"].replace("REPLACE-WITH-THE-KEY-ID", place.key_id)
        modules = "\n".join(f"LoadModule {name}_module {_MODULE_FOLDER}/mod_{name}.so" for name in _MODULES)
        main = _APACHE.format(
            folder=folder,
            port=port,
            authority=shutil.copy(place.authority, folder),
            modules=modules,
            account="User www-data\nGroup www-data" if os.geteuid() == 0 else "",
        )
        _write({"apache.conf": main + shown.replace("REPLACE-WITH-THE-KEY", place.key)}, folder, place, port)
        (folder / "site").mkdir()
        (folder / "site" / "orders").write_text("orders")

    return Kind(heading, lambda folder, _port: ["/usr/sbin/apache2", "-f", f"{folder}/apache.conf", "-X"], write)


KINDS: dict[str, Kind] = {
    "openid-client-6": _node("openid-client 6", "openid-client"),
    "openid-client-5": _node("openid-client 5", "openid-client-5"),
    "oauth4webapi": _node("oauth4webapi", "oauth4webapi"),
    "authlib": _flask("Authlib"),
    "flask-oidc": _flask("flask-oidc"),
    "django-oauth-toolkit": _django("django-oauth-toolkit"),
    "mod_auth_openidc": _apache("mod_auth_openidc"),
}


@contextlib.contextmanager
def resource_server(name: str, place: Place) -> Iterator[ResourceServer]:
    """Run a resource server with the configuration on the page."""
    # Not in pytest's folder, which Apache's account may not enter.
    with tempfile.TemporaryDirectory(prefix=f"{name}-") as folder:
        Path(folder).chmod(0o755)
        with _started(KINDS[name], Path(folder), place) as made:
            yield made


@contextlib.contextmanager
def _started(kind: Kind, folder: Path, place: Place) -> Iterator[ResourceServer]:
    port = free_port()
    kind.write(folder, place, port)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PORT": str(port),
        "SECRET_KEY": "of-this-test-only-and-long-enough-for-django-to-take-it",
        "DJANGO_SETTINGS_MODULE": "settings",
        "DOORWARD_KEY_ID": place.key_id,
        "DOORWARD_KEY": place.key,
        "REQUESTS_CA_BUNDLE": place.authority,
        "NODE_EXTRA_CA_CERTS": place.authority,
    }
    with (folder / "log.txt").open("ab") as log:
        process = subprocess.Popen(
            kind.start(folder, port), cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    made = ResourceServer(folder, f"http://127.0.0.1:{port}")
    try:
        _wait(process, port, made)
        yield made
    finally:
        process.terminate()
        process.wait(10)


def _wait(process: "subprocess.Popen[bytes]", port: int, made: ResourceServer) -> None:
    deadline = time.monotonic() + 60
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        assert process.poll() is None, made.log()
        assert time.monotonic() < deadline, made.log()
        time.sleep(0.02)
