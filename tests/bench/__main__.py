"""`make bench`: measure, print, and write docs/benchmarks.md."""

import tempfile
from pathlib import Path

import click

from bench import machine
from bench.figures import FIGURES, measure
from bench.report import as_text, write
from bench.results import QUICK, Bench, Effort

_DOCS = Path(__file__).parents[2] / "docs"


@click.command()
@click.option("--quick", is_flag=True, help="Fewer and shorter rounds, for a look; nothing is written.")
@click.option("--only", type=click.Choice(list(FIGURES)), multiple=True, help="This figure only; may be repeated.")
@click.option("--against", metavar="URL", default="", help="Measure this server, of the same API, in the same rounds.")
@click.option("--pid", type=int, help="Its process, where it runs here: for its CPU per request.")
def main(*, quick: bool, only: tuple[str, ...], against: str, pid: int | None) -> None:
    """Measure on two cores: the servers on one, the load on the other."""
    if not machine.go_first():
        click.echo("Not allowed to go before other processes (root is): keep the machine quiet.", err=True)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), QUICK if quick else Effort(), against, pid)
        found = measure(only or list(FIGURES), bench)
    about = machine.describe()
    click.echo("\n".join(f"{name}: {value}" for name, value in about.items()))
    click.echo(as_text(found))
    if not quick and not against:
        write(_DOCS, about, found)
        click.echo(f"\nwritten: {_DOCS / 'benchmarks.md'}")


if __name__ == "__main__":
    main()
