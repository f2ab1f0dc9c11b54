"""`doorward settings`: every setting with its default and its meaning."""

import json

import click

from doorward.settings import describe


@click.command("settings")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for scripts.")
def show_settings(*, as_json: bool) -> None:
    """List every setting with its default and its meaning."""
    found = describe()
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for item in found:
        click.echo(f"{click.style(item['name'], bold=True)}={item['default']}")
        click.echo(click.wrap_text(item["meaning"], width=96, initial_indent="    ", subsequent_indent="    "))
    click.echo("\nEach can also be given as <NAME>_FILE, the path of a file that holds it.")
