"""The script of docs/moving-in-from-others.md that exports all identities of Ory Kratos."""

import json
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "moving-in-from-others.md"
PAGES = {"": "p/2 +", "p/2 +": "p3", "p3": None}

pytestmark = pytest.mark.one_setup


@contextmanager
def kratos(broken: str | None) -> Iterator[str]:
    """Serve the pages of an admin API as Kratos does, but for one that breaks."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            token = query.get("page_token", [""])[0]
            credential = query["include_credential"] == ["password"] and query["page_size"] == ["500"]
            self.send_response(200 if credential and token in PAGES and token != broken else 500)
            links = ['</admin/identities?page_size=500&page_token=>; rel="first"']
            if following := PAGES.get(token):
                quoted = following.replace("/", "%2F").replace(" ", "%20").replace("+", "%2B")
                links.append(f'</admin/identities?page_size=500&page_token={quoted}&x=1>; rel="next"')
            self.send_header("Link", ",".join(links))
            self.end_headers()
            self.wfile.write(json.dumps([{"id": f"of {token}"}]).encode() + b"\n")

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("broken", [None, "p3"])
def test_the_script_follows_every_page_and_fails_where_one_is_missing(tmp_path: Path, broken: str | None) -> None:
    found = re.search(r"^```sh\n# kratos-export.sh\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert found
    with kratos(broken) as url:
        ended = subprocess.run(
            ["/bin/sh", "-c", found[1]],
            check=False,
            cwd=tmp_path,
            env={"KRATOS_ADMIN": url, "PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=60,
        )
    file = tmp_path / "identities.json"
    pages = [json.loads(line) for line in file.read_text().splitlines()]
    assert file.stat().st_mode & 0o077 == 0
    if broken:
        assert ended.returncode != 0
        return
    assert (ended.returncode, ended.stderr) == (0, "")
    assert pages == [[{"id": f"of {token}"}] for token in PAGES]
    assert [one.name for one in tmp_path.iterdir()] == ["identities.json"]
