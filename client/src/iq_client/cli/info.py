"""`iq-client info`: what a server says of itself."""

from __future__ import annotations

import json

import click
from rich.table import Table

from iq_client.cli import tables
from iq_client.cli.sections import SectionedCommand
from iq_client.cli.server import ServerOptions, open_client, server_options
from iq_client.results import TowerIdentity


@click.command(cls=SectionedCommand)
@click.option("--format", "file_format", type=click.Choice(["table", "json"]), default="table")
@server_options
def info(file_format: str, server: ServerOptions) -> None:
    """Show what the server and its model are."""
    with open_client(server) as client:
        found = client.server_info()
    facts = found.to_dict()
    if file_format == "json":
        click.echo(json.dumps(facts, indent=2))
        return
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    del facts["tower"]
    for name, value in (facts | _tower_facts(found.tower)).items():
        text = ", ".join(value) if isinstance(value, tuple) else str(value)
        table.add_row(name.replace("_", " "), tables.printable(text))
    tables.show(table)


def _tower_facts(tower: TowerIdentity | None) -> dict[str, str]:
    if tower is None:
        return {"tower": "not named"}
    return {
        "tower": f"{tower.name} {tower.version}",
        "tower sha256": tower.sha256,
        "preprocessing version": str(tower.preprocessing_version),
        "licence of the weights": tower.licence,
        "percentiles among": tower.quantiles_of or "none",
    }
