"""`twokeys edge`: what stands in an Edge's configuration file, and whether a file can be used."""

from __future__ import annotations

import os
from pathlib import Path

import click

from edge_agent import config as configuration


@click.group()
def edge() -> None:
    """Explain and check an Edge's configuration. The Edge itself is run by: python -m edge_agent run --config FILE"""


@edge.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--explain", is_flag=True, help="Print every section and key with its meaning and default.")
def config(file: Path | None, explain: bool) -> None:
    """Check a configuration FILE, or explain what may stand in one.

    \b
      twokeys edge config --explain > edge.toml
      twokeys edge config edge.toml
    """
    if explain == (file is not None):
        raise click.UsageError("Name a FILE to check, or give --explain.")
    if file is None:
        click.echo(configuration.explain())
        return
    read = configuration.load(file, os.environ)
    targets = ", ".join(f"{one.target} at {one.listen_host}:{one.listen_port}" for one in read.postgres)
    click.echo(f"{file} can be used. Targets: {targets}")
