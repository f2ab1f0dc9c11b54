"""Command line `doorward`: one module per command, on the services that the HTTP API uses.

Exit codes: 0 success, 1 failure, 2 wrong usage, 3 a check found a problem or rows of an import were rejected. Results
go to standard output, everything else to standard error.
"""

import os

import click

from doorward import __version__
from doorward.cli import (
    audit,
    backup,
    doctor,
    import_backend_auth,
    keys,
    migrate,
    selftest,
    serve,
    sessions,
    settings,
    tenants,
    user_transfer,
)
from doorward.cli import users as user_commands
from doorward.cli.program import Program


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="doorward")
@click.pass_context
def main(context: click.Context) -> None:
    """Doorward: self-hosted, multi-tenant authentication.

    Settings come from the environment and from .env; `doorward settings` lists them. The other commands work on the
    stores that the settings name, also while the service runs.
    """
    # Files written by commands and workers are accessible to their owner only.
    previous = os.umask(0o077)
    context.call_on_close(lambda: os.umask(previous))


for command in user_transfer.user.commands.values():
    user_commands.user.add_command(command)
for command in (
    serve.serve,
    settings.show_settings,
    tenants.tenant,
    user_commands.user,
    sessions.session,
    sessions.apikey,
    keys.key,
    backup.backup,
    backup.restore,
    migrate.migrate,
    import_backend_auth.imports,
    doctor.doctor,
    selftest.selftest,
    audit.audit,
):
    main.add_command(command)
