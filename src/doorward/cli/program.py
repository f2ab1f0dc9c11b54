"""The program around the commands: arguments, output and files of other machines end it with a sentence."""

import errno
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from io import TextIOWrapper
from typing import Any

import click

from doorward.cli.desk import CANNOT

_OUTPUT = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EPIPE, errno.EBADF}


class Program(click.Group):
    """A group of commands that ends with 1 and a sentence where its output cannot be written or its input read."""

    def main(self, args: Sequence[str] | None = None, *more: Any, **extra: Any) -> Any:
        """See `click.Command.main`."""
        words = sys.argv[1:] if args is None else list(args)
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):
                # A terminal of another encoding gets an escape for what it cannot show.
                stream.reconfigure(errors="backslashreplace")
        try:
            for word in words:
                word.encode()
            try:
                return super().main(words, *more, **extra)
            finally:
                if sys.stdout is not None:
                    sys.stdout.flush()
        except UnicodeEncodeError:
            _end("An argument is not UTF-8 text.")
        except OSError as error:
            _end_for(error)

    def invoke(self, ctx: click.Context) -> Any:
        """See `click.Command.invoke`, which ends without a word where a pipe is closed."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            _end_for(error)


def _end_for(error: OSError) -> None:
    """End with a sentence for output that cannot be written; raise any other error."""
    if error.errno not in _OUTPUT or error.filename is not None:
        raise error
    with suppress(OSError):
        # What could not be written would be tried again when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    _end(f"The output cannot be written ({error.strerror}).")


def _end(sentence: str) -> None:
    with suppress(OSError):
        click.secho(sentence, err=True, fg="red")
    sys.exit(CANNOT)
