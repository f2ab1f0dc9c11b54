"""The command line: thin, calls the rest. Exit codes: 0 done, 1 cannot start, 2 wrong use."""

import click

from doorward import __version__
from doorward.cli import imports, serve, settings, users


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="doorward")
def main() -> None:
    """Doorward: self-hosted, multi-tenant authentication.

    Settings come from the environment and from .env; `doorward settings` lists them.
    """


for command in (serve.serve, settings.show_settings, users.user, imports.imports):
    main.add_command(command)
