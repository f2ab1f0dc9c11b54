"""Standard streams, output errors and argument encoding of the command line."""

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
"""The file name that means standard output."""

_STREAMS = (("stdin", "r", os.O_RDONLY), ("stdout", "w", os.O_RDONLY), ("stderr", "w", os.O_WRONLY))
_OUTPUT = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EPIPE, errno.EBADF}


class Program(click.Group):
    """A group of commands that exits with 1 and a message if its output cannot be written or its arguments read."""

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
            _exit("An argument is not UTF-8 text.")
        except OSError as error:
            _exit_on_output_error(error)
        finally:
            try:
                sys.stderr.flush()
            except OSError:
                discard_output(sys.stderr)

    def invoke(self, ctx: click.Context) -> Any:
        """See `click.Command.invoke`, which exits without a message if a pipe is closed."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            _exit_on_output_error(error)


def discard_output(stream: TextIO) -> None:
    """Redirect a stream to the null device; otherwise the interpreter would retry the failed write at exit."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _open_streams() -> None:
    """Reopen closed standard streams, before a database or a socket gets their file descriptors.

    Standard output is opened read-only, so that writing a result to it fails with a message.
    """
    for name, mode, flags in _STREAMS:
        if getattr(sys, name) is None:
            file = os.open(os.devnull, flags)
            os.set_inheritable(file, True)
            setattr(sys, name, os.fdopen(file, mode, encoding="utf-8"))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # Characters that the terminal's encoding lacks are escaped.
            stream.reconfigure(errors="backslashreplace")


def _exit_on_output_error(error: OSError) -> NoReturn:
    """Exit with a message if the output cannot be written; raise any other error."""
    if error.errno not in _OUTPUT or error.filename is not None:
        raise error
    discard_output(sys.stdout)
    _exit(f"The output cannot be written ({error.strerror}).")


def _exit(sentence: str) -> NoReturn:
    with suppress(OSError):
        click.secho(sentence, err=True, fg="red")
    sys.exit(FAILED)
