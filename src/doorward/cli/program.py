"""The program around the commands: its standard streams, and arguments and output of other machines."""

import errno
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Any, NoReturn, TextIO

import click

from doorward.cli.context import FAILED

STANDARD_OUTPUT = Path("-")
"""Stands for standard output where a command takes the name of a file to write."""

_STREAMS = (("stdin", "r", os.O_RDONLY), ("stdout", "w", os.O_RDONLY), ("stderr", "w", os.O_WRONLY))
_OUTPUT = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EPIPE, errno.EBADF}


class Program(click.Group):
    """A group of commands that ends with 1 and a sentence where its output cannot be written or its input read."""

    def main(self, args: Sequence[str] | None = None, *more: Any, **extra: Any) -> Any:
        """See `click.Command.main`."""
        _open_streams()
        try:
            words = sys.argv[1:] if args is None else list(args)
            for word in words:
                word.encode()
            try:
                return super().main(words, *more, **extra)
            finally:
                sys.stdout.flush()
        except UnicodeEncodeError:
            _end("An argument is not UTF-8 text.")
        except OSError as error:
            _end_for(error)
        finally:
            try:
                sys.stderr.flush()
            except OSError:
                lose(sys.stderr)

    def invoke(self, ctx: click.Context) -> Any:
        """See `click.Command.invoke`, which ends without a word where a pipe is closed."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            _end_for(error)


def lose(stream: TextIO) -> None:
    """Write to nowhere from now on: what could not be written would be tried again when the interpreter ends."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _open_streams() -> None:
    """Take the places of standard streams that are closed, before a database or a socket does.

    Standard output becomes one that cannot be written, so that no result is lost without a word.
    """
    for name, mode, how in _STREAMS:
        if getattr(sys, name) is None:
            file = os.open(os.devnull, how)
            os.set_inheritable(file, True)
            setattr(sys, name, os.fdopen(file, mode, encoding="utf-8"))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # A terminal of another encoding gets an escape for what it cannot show.
            stream.reconfigure(errors="backslashreplace")


def _end_for(error: OSError) -> NoReturn:
    """End with a sentence for output that cannot be written; raise any other error."""
    if error.errno not in _OUTPUT or error.filename is not None:
        raise error
    lose(sys.stdout)
    _end(f"The output cannot be written ({error.strerror}).")


def _end(sentence: str) -> NoReturn:
    with suppress(OSError):
        click.secho(sentence, err=True, fg="red")
    sys.exit(FAILED)
