"""`doorward settings`: every setting as it is in effect, where it comes from, and its meaning."""

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
@click.option("--json", "as_json", is_flag=True, help="As JSON, for scripts.")
def show_settings(*, as_json: bool) -> None:
    """List every setting with the value in effect, its source and its meaning.

    Sources are the environment, .env, a file that <NAME>_FILE names, and the default. Of a secret only whether it is
    set is shown. Exits with 1 where the service would not start with these settings, and says why.
    """
    found, refusal = effective_settings()
    if as_json:
        click.echo(json.dumps([one._asdict() for one in found], indent=2))
    else:
        for one in found:
            click.echo(f"{click.style(one.name, bold=True)}={one.value}{_source(one)}")
            click.echo(click.wrap_text(one.meaning, width=96, initial_indent="    ", subsequent_indent="    "))
        click.echo("\nEach can also be given as <NAME>_FILE, the path of a file that holds it.")
    if refusal is not None:
        exit_with_error(refusal)


def _source(one: EffectiveSetting) -> str:
    if one.source == "default":
        return ""
    return click.style(f"  ({one.source}; default: {one.default or 'none'})", dim=True)
