"""`doorward serve`: checks the settings, prints the addresses and starts the service."""

import errno
import json
import logging
import socket
import sys
from pathlib import Path

import click

from doorward import __version__
from doorward.cli.program import discard_output
from doorward.core.errors import CannotStart
from doorward.http.client_address import Proxies, in_networks
from doorward.observability import logging as logs
from doorward.operations.master_keys import check_folder
from doorward.runtime import server
from doorward.settings import Settings
from doorward.settings.values import LOOPBACK, has_every_address
from doorward.storage.redis.address import without_secrets
from doorward.stores import migrate, open_to_others

log = logging.getLogger(__name__)

_SCHEMES = {"http": "http", "https": "https", "maintenance": "https", "metrics": "http"}


@click.command()
def serve() -> None:
    """Start the service, and run it until it is stopped."""
    try:
        settings = Settings.read()
        logs.configure(settings.log_level, settings.log_format)
        for warning in settings.warnings:
            log.warning("a setting needs attention", extra={"reason": warning})
        settings.with_master_key()
        server.check(settings)
        migrate(settings)
        check_folder(settings)
    except CannotStart as reason:
        click.secho(f"doorward cannot start. {reason}", err=True, fg="red")
        sys.exit(1)
    for file in open_to_others(settings):
        log.warning("other users can read the database", extra={"file": str(file), "remedy": f"chmod 600 {file}"})
    listeners = [_bind(settings, port) for port in server.listener_configs(settings)]
    try:
        _print_banner(settings, listeners)
    except OSError:
        discard_output(sys.stdout)  # the service runs without its banner
    try:
        if not server.run(settings, listeners):
            sys.exit(1)
    except KeyboardInterrupt:
        click.echo("Stopped.", err=True)


def _bind(settings: Settings, port: server.ListenerConfig) -> socket.socket:
    try:
        return server.bind_socket(settings.host, port.number)
    except OSError as error:
        why = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be bound ({error.strerror})"
        address = f"HOST and {port.setting}: {settings.host}:{port.number}"
        click.secho(f"doorward cannot start. {address} {why}.", err=True, fg="red")
        sys.exit(1)


def _print_banner(settings: Settings, listeners: list[socket.socket]) -> None:
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    shown = "127.0.0.1" if host in {"0.0.0.0", "[::]"} else host  # noqa: S104 - compared, not bound
    (first, url), *others = [
        (port.purpose, f"{_SCHEMES[port.purpose]}://{shown}:{listener.getsockname()[1]}")
        for port, listener in zip(server.listener_configs(settings), listeners, strict=True)
    ]
    key = "JWT_KEY" if settings.jwt_key else str(Path(settings.data_dir) / "master.key")
    click.secho(f"Doorward {__version__}", bold=True)
    click.echo(
        f"  listens on  {click.style(url, bold=True)}  ({settings.workers} worker{'s' * (settings.workers > 1)})"
    )
    for purpose, address in others:
        click.echo(f"  {purpose:<10}  {address}{'/metrics' * (purpose == 'metrics')}")
    click.echo(f"  data        {settings.database_place}")
    if settings.redis_url:
        click.echo(f"  sessions    Redis at {without_secrets(settings.redis_url)}")
    click.echo(f"  master key  {key}")
    click.echo(f"  read        {url}/docs")
    if first == "http" and _may_register_from_here(settings, shown):
        # Another e-mail address than in the README's tour, which also registers a tenant.
        body = json.dumps({"email": "first@example.org", "password": "Correct-Horse-9"})
        click.echo("  try         " + f"curl -s {url}/tenant -H 'Content-Type: application/json' -d '{body}'")
    else:
        click.echo("  try         doorward tenant create you@example.org")
    allowed = settings.tenant_white_list
    if has_every_address(allowed):
        click.secho("  note        TENANT_WHITE_LIST allows every client to register tenants.", fg="yellow")
    elif not any(
        network.version == local.version and network.overlaps(local) for network in allowed for local in LOOPBACK
    ):
        click.echo("  note        TENANT_WHITE_LIST does not allow this machine to register tenants.")
    sys.stdout.flush()


def _may_register_from_here(settings: Settings, shown: str) -> bool:
    """Return whether a program on this machine may register tenants at the printed address."""
    host = "127.0.0.1" if shown == "localhost" else shown.strip("[]")
    if settings.allowed_hosts and not {shown, host} & set(settings.allowed_hosts):
        return False
    client = Proxies(settings.trusted_proxies).resolve(host, {})
    return in_networks(client, settings.tenant_white_list)
