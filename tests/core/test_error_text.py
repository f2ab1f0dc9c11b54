"""Reasons of errors in plain words, without text of servers or files."""

import socket
import ssl

import asyncpg
import pytest

from doorward.core.error_text import describe_error

SECRET = "Canary-7f3a9c"
FAILURES = {
    "connection refused": ConnectionRefusedError(111, SECRET),
    "no such file or directory": FileNotFoundError(2, SECRET, SECRET),
    "permission denied": PermissionError(13, SECRET),
    "no answer in time": TimeoutError(SECRET),
    "the connection failed": EOFError(SECRET),
    "it is not UTF-8 text": UnicodeDecodeError("utf-8", SECRET.encode(), 0, 1, SECRET),
    "the name of the host cannot be resolved": socket.gaierror(-2, SECRET),
    "TLS failed": ssl.SSLError(1, SECRET),
    "undefined table": asyncpg.UndefinedTableError(SECRET),
    "too many connections": asyncpg.TooManyConnectionsError(SECRET),
}


@pytest.mark.parametrize("words", FAILURES)
def test_a_failure_is_said_in_plain_words(words: str) -> None:
    assert describe_error(FAILURES[words]) == words
