"""`twokeys credential`: mint what a caller shows at an Edge. The password is printed once and kept nowhere."""

from __future__ import annotations

import json
from pathlib import Path

import click

from twokeys_cli import output
from twokeys_cli.api import connection, signed_in


@click.group()
def credential() -> None:
    """Mint a caller's credential for a target."""


@credential.command()
@click.argument("caller")
@click.argument("target")
@connection
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def create(caller: str, target: str, url: str, ca_file: Path | None, form: str) -> None:
    """Mint a random password for CALLER at TARGET; an older one stops working. It is shown this once.

    \b
      twokeys credential create agent-7 sample-db
    """
    answer = signed_in(url, ca_file).send("POST", "/v1/credentials", {"caller": caller, "target": target})
    password = str(answer.get("password", ""))
    if form == "json":
        output.write(json.dumps({"caller": caller, "target": target, "password": password}))
        return
    click.echo(password)
    click.echo(
        f"The password of {caller} at {target}, shown this once; edges know it with their next bundle.", err=True
    )
