"""The command line: thin, calls the rest.

Exit codes: 0 done, 1 cannot, 2 wrong use, 3 looked and found a problem. Results go to standard output, all else to
standard error.
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
from doorward.cli import users as people
from doorward.cli.program import Program


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="doorward")
@click.pass_context
def main(context: click.Context) -> None:
    """Doorward: self-hosted, multi-tenant authentication.

    Settings come from the environment and from .env; `doorward settings` lists them. The other commands work on the
    stores that the settings name, also while the service runs.
    """
    # Whatever is written, by workers too, is for its owner alone.
    before = os.umask(0o077)
    context.call_on_close(lambda: os.umask(before))


for command in user_transfer.user.commands.values():
    people.user.add_command(command)
for command in (
    serve.serve,
    settings.show_settings,
    tenants.tenant,
    people.user,
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
