"""`doorward settings`: lists every setting with its effective value, source and meaning."""

import json

import click

from doorward.cli.context import example, exit_with_error
from doorward.settings import EffectiveSetting, effective_settings


@click.command(
    "settings",
    epilog=example(
        "doorward settings\ndoorward settings --json | jq -r '.[] | select(.source != \"default\") | .name'"
    ),
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for scripts.")
def show_settings(*, as_json: bool) -> None:
    """List every setting with the value in effect, its source and its meaning.

    Sources are the environment, .env, a file that <NAME>_FILE names, and the default. Secrets are shown as `set` or
    `not set`. Exit code 1: the service would not start with these settings; the message gives the reason.
    """
    settings, error = effective_settings()
    if as_json:
        click.echo(json.dumps([setting._asdict() for setting in settings], indent=2))
    else:
        for setting in settings:
            click.echo(f"{click.style(setting.name, bold=True)}={setting.value}{_source(setting)}")
            click.echo(click.wrap_text(setting.meaning, width=96, initial_indent="    ", subsequent_indent="    "))
        click.echo("\nEach can also be given as <NAME>_FILE, the path of a file with the value.")
    if error is not None:
        exit_with_error(error)


def _source(setting: EffectiveSetting) -> str:
    if setting.source == "default":
        return ""
    return click.style(f"  ({setting.source}; default: {setting.default or 'none'})", dim=True)
