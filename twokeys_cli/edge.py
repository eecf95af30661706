"""`twokeys edge`: enrol, list and revoke Edges; and what stands in an Edge's configuration file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from urllib.parse import quote

import click

from edge_agent import config as configuration
from twokeys_cli import output
from twokeys_cli.api import connection, signed_in


@click.group()
def edge() -> None:
    """Enrol, list and revoke Edges; explain and check an Edge's configuration.

    \b
    twokeys edge token edge-2 sample-db        a one-time token, for: python -m edge_agent enrol
    twokeys edge list                          which Edges there are
    twokeys edge revoke edge-2 --reason WHY    never hear it again
    twokeys edge config --explain              every setting, with its meaning

    The Edge itself is run by: python -m edge_agent run --config FILE
    """


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


@edge.command()
@click.argument("edge_id", metavar="EDGE")
@click.argument("targets", metavar="TARGET...", nargs=-1, required=True)
@connection
def token(edge_id: str, targets: tuple[str, ...], url: str, ca_file: Path | None) -> None:
    """Make a one-time token by which EDGE joins, for these TARGETs. Owners only; it is shown this once.

    \b
      twokeys edge token edge-2 sample-db
    """
    answer = signed_in(url, ca_file).send("POST", "/v1/edges/tokens", {"edge_id": edge_id, "targets": list(targets)})
    click.echo(str(answer.get("token", "")))
    click.echo(f"Next, beside the target: python -m edge_agent enrol --config FILE --token … (as {edge_id})", err=True)


@edge.command("list")
@connection
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def list_(url: str, ca_file: Path | None, form: str) -> None:
    """List the Edges that are enrolled."""
    found = signed_in(url, ca_file).get("/v1/edges").get("edges", [])
    if form == "json":
        output.write(json.dumps(found, indent=1))
        return
    rows = [[one["id"], ", ".join(one["targets"])] for one in found]
    output.console().print(output.table(["edge", "targets"], rows))


@edge.command()
@click.argument("edge_id", metavar="EDGE")
@connection
@click.option("--reason", required=True, help="Why; it is recorded.")
@click.option("--yes", is_flag=True, help="Don't ask.")
def revoke(edge_id: str, url: str, ca_file: Path | None, reason: str, yes: bool) -> None:
    """Revoke EDGE for good: no call of it is answered any more, and its id is never used again. Owners only.

    What it holds is withdrawn. It goes on letting reads pass until its bundle is over: stop its process, too.
    """
    if not yes:
        click.confirm(f"Revoke {output.plain(edge_id)} for good?", abort=True, err=True)
    answer = signed_in(url, ca_file).send("POST", f"/v1/edges/{quote(edge_id, safe='')}/revoke", {"reason": reason})
    click.echo(f"{output.plain(edge_id)} is revoked; {answer.get('withdrawn', 0)} of its requests were withdrawn.")
