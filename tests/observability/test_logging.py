"""Logs: redaction, escaping, and writers that block."""

import contextlib
import copy
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from doorward.observability import logging as logs

CANARY = "CANARY-7f3a9c"
log = logging.getLogger("doorward.test")


class Stream(io.StringIO):
    """A standard error that can be read, or that is broken: a full disk, a closed pipe, a terminal that went away."""

    broken: Exception | None = None

    def configure(self, level: str, style: str) -> None:
        with contextlib.redirect_stderr(self):
            logs.configure(level, style)

    def write(self, text: str) -> int:
        if self.broken:
            raise self.broken
        return super().write(text)


@pytest.fixture
def stream() -> Iterator[Stream]:
    """Where log lines go; the logging of the test run comes back afterwards."""
    root = logging.getLogger()
    handlers, level, raising = list(root.handlers), root.level, logging.raiseExceptions
    yield Stream()
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.raiseExceptions = raising
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).setLevel(logging.NOTSET)


def lines(stream: Stream) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_json_object_with_time_level_logger_event_and_what_was_added(stream: Stream) -> None:
    stream.configure("info", "json")
    log.info("login of %s", "alice", extra={"tenant": "tenant-a", "count": 3, "fine": True, "none": None})
    [line] = lines(stream)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "login of alice",
        "level": "info",
        "logger": "doorward.test",
        "tenant": "tenant-a",
        "count": 3,
        "fine": True,
        "none": None,
    }


def test_lines_below_the_level_are_not_written(stream: Stream) -> None:
    stream.configure("warning", "json")
    log.info("no")
    log.warning("yes")
    assert [line["event"] for line in lines(stream)] == ["yes"]


@pytest.mark.parametrize(("style", "is_json"), [("json", True), ("text", False), ("auto", True)])
def test_auto_is_json_unless_a_terminal_reads_it(stream: Stream, style: str, *, is_json: bool) -> None:
    stream.configure("info", style)
    log.info("hello")
    assert stream.getvalue().startswith("{") == is_json


def log_accident(accident: Exception) -> None:
    """Log an exception with its traceback, as the service does."""

    def fail() -> None:
        raise accident

    try:
        fail()
    except type(accident):
        log.exception("boom")


SECRET_NAMES = [
    *("password", "Password", "new_password", "passwordHash", "password_hash", "passphrase", "pwd", "secret"),
    *(
        "client_secret",
        "token",
        "accessToken",
        "refreshToken",
        "authorization",
        "Authorization",
        "cookie",
        "Set-Cookie",
    ),
    *("JWT_KEY", "jwt_key", "apiKey", "api_key", "X-Doorward-Key", "credential", "credentials"),
]
SECRET_TEXTS = {
    "token": f"eyJhbGciOiJIUzI1NiJ9.eyJsb2dpbiI6ImEifQ.{CANARY}",
    "half a token": f"eyJhbGciOiJIUzI1NiJ9.{CANARY}",
    "argon2 hash": f"$argon2id$v=19$m=19456,t=2,p=1${CANARY}$x",
    "bcrypt hash": f"$2b$10${CANARY}",
    "older bcrypt hash": f"$2y$10${CANARY}",
    "API key": f"dw_{CANARY}",
    "bearer": f"Authorization: Bearer {CANARY}",
    "shouted bearer": f"AUTHORIZATION: BEARER {CANARY}",
    "basic": f"Basic {CANARY}==",
    "database": f"postgresql://doorward:{CANARY}@db.example.org/doorward",
    "database with a strange password": f"postgresql://doorward:p@ss@{CANARY}@db.example.org/doorward",
    "redis": f"rediss://:{CANARY}@cache:6379/0",
}


@pytest.mark.parametrize("style", ["json", "text"])
@pytest.mark.parametrize("name", SECRET_NAMES)
def test_PW11_AU5_whatever_is_named_like_a_secret_is_hidden(stream: Stream, style: str, name: str) -> None:
    stream.configure("debug", style)
    for value in (CANARY, CANARY.encode(), [CANARY], {"a": CANARY}, (CANARY,)):
        log.info("x", extra={name: value})
        log.info("x", extra={"body": {name: value, "list": [{name: value}]}})
    assert CANARY not in stream.getvalue()
    assert stream.getvalue().count("[hidden]") == 15


@pytest.mark.parametrize("style", ["json", "text"])
@pytest.mark.parametrize("kind", SECRET_TEXTS)
def test_PW11_AU5_whatever_looks_like_a_secret_is_hidden_wherever_it_turns_up(
    stream: Stream, style: str, kind: str
) -> None:
    stream.configure("debug", style)
    text = SECRET_TEXTS[kind]
    log.info("got %s", text)
    log.info("before %s after", text.encode())
    log.info(text)
    log.info("x", extra={"note": text, "raw": text.encode(), "many": [text, {"deep": (text,)}]})
    log.info("x", extra={"accident": ValueError(text)})
    log_accident(ValueError(text))
    assert CANARY not in stream.getvalue()
    assert stream.getvalue().count("[hidden]") >= 9


def test_what_is_no_secret_stays_readable(stream: Stream) -> None:
    stream.configure("info", "json")
    log.info(
        "GET /user/alice?q=x", extra={"status": 404, "url": "https://example.org/a@b", "path": "/a", "ids": [1, "b"]}
    )
    [line] = lines(stream)
    assert (line["event"], line["status"], line["url"]) == ("GET /user/alice?q=x", 404, "https://example.org/a@b")
    assert line["ids"] == [1, "b"]


def test_redaction_changes_nothing_of_the_callers(stream: Stream) -> None:
    stream.configure("info", "json")
    body = {"password": CANARY, "list": [{"token": CANARY}]}
    before = copy.deepcopy(body)
    log.info("x", extra={"body": body})
    assert body == before
    assert CANARY not in stream.getvalue()


INJECTIONS = [
    'a\nFAKE\x1b[31m {"event":"fake"}',
    "a\r\nFAKE",
    "a\x1b]0;FAKE\x07",
    "a\u2028FAKE",
    "a\x85FAKE",
    "a\x00FAKE",
    "a\x9b31mFAKE",
    "a\u202eFAKE",
    '","level":"critical","x":"FAKE',
]


@pytest.mark.parametrize("style", ["json", "text"])
@pytest.mark.parametrize("text", INJECTIONS, ids=ascii)
def test_AU4_no_text_forges_a_line_or_steers_a_terminal(stream: Stream, style: str, text: str) -> None:
    stream.configure("info", style)
    log.info(text, extra={"login": text, "list": [text]})
    log.info("login of %s", text)
    written = stream.getvalue()
    assert written.count("\n") == len(written.splitlines()) == 2
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 or c in "\u2028\u202e" for c in written.replace("\n", ""))
    if style == "json":
        assert [line["event"] for line in lines(stream)] == [text, f"login of {text}"]
        assert {line["level"] for line in lines(stream)} == {"info"}


def test_AU4_a_traceback_cannot_steer_a_terminal(stream: Stream) -> None:
    stream.configure("info", "text")
    log_accident(ValueError("\x1b[31mred\x07"))
    assert "Traceback" in stream.getvalue()
    assert "\\x1b[31mred\\x07" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


@pytest.mark.parametrize("style", ["json", "text"])
@pytest.mark.parametrize(
    "error",
    [
        BrokenPipeError(),
        OSError(28, "No space left on device"),
        ValueError("closed"),
        UnicodeEncodeError("ascii", "a", 0, 1, "x"),
    ],
    ids=repr,
)
def test_AU7_a_broken_stream_loses_lines_and_nothing_else(stream: Stream, style: str, error: Exception) -> None:
    stream.configure("info", style)
    stream.broken = error
    log.info("lost")
    log_accident(RuntimeError())
    stream.broken = None
    log.info("found")
    assert "found" in stream.getvalue()
    assert "lost" not in stream.getvalue()


def test_AU7_what_cannot_be_shown_is_lost_and_nothing_else(stream: Stream) -> None:
    class Hostile:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    stream.configure("info", "json")
    log.info("x", extra={"thing": Hostile()})
    log.info("%d", "not a number")
    log.info("after")
    assert lines(stream)[-1]["event"] == "after"
