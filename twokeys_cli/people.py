"""`twokeys people`: persons, machine callers and their sponsors; and how a new person gets a passphrase."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from twokeys_cli import output
from twokeys_cli.api import connection, signed_in


@click.group()
def people() -> None:
    """Say who there is: people, and machines with the person who answers for each.

    \b
    twokeys people list
    twokeys people add NAME --email NAME@example.com --group reviewers
    twokeys people add ci-deploy --sponsor NAME
    twokeys people passphrase NAME             a one-time code, by which that person gets a passphrase

    Who changes a group of reviewers can approve nothing for a day.
    """


@people.command("list")
@connection
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def list_(url: str, ca_file: Path | None, form: str) -> None:
    """List people and machines."""
    found = signed_in(url, ca_file).get("/v1/people").get("people", [])
    if form == "json":
        output.write(json.dumps(found, indent=1))
        return
    rows = [
        [one["id"], one["kind"], one.get("sponsor", ""), ", ".join(one["groups"]), one.get("email", "")]
        for one in found
    ]
    output.console().print(output.table(["id", "kind", "sponsor", "groups", "email"], rows))


@people.command()
@click.argument("name", metavar="ID")
@connection
@click.option("--email", default="", help="Where a person is asked to review.")
@click.option("--account", "accounts", multiple=True, help="Another subject that is this person; again for more.")
@click.option("--group", "groups", multiple=True, help="A group; again for more.")
@click.option("--sponsor", default="", help="Add a machine instead, for which this person answers.")
def add(
    name: str, url: str, ca_file: Path | None, email: str, accounts: tuple[str, ...], groups: tuple[str, ...],
    sponsor: str,
) -> None:  # fmt: skip
    """Add the person ID, or with --sponsor the machine caller ID. Owners only.

    A machine that is there already is changed to what is said here; a person is not.

    \b
      twokeys people add NAME --email NAME@example.com --group reviewers
    """
    if sponsor and (email or accounts):
        raise click.UsageError("A machine has no --email and no --account.")
    body: dict[str, Any] = {"id": name, "groups": list(groups)}
    if sponsor:
        body |= {"kind": "machine", "sponsor": sponsor}
    else:
        body |= {"kind": "person", "email": email, "accounts": list(accounts)}
    signed_in(url, ca_file).send("POST", "/v1/people", body)
    click.echo(f"{output.plain(name)} is registered.")
    if not sponsor:
        click.echo(f"With the issuer of twokeys up, next: twokeys people passphrase {output.plain(name)}", err=True)


@people.command()
@click.argument("name", metavar="ID")
@connection
def passphrase(name: str, url: str, ca_file: Path | None) -> None:
    """Make a one-time code by which the person ID gets a new passphrase. Owners only; it is shown this once.

    For the issuer that `twokeys up` brings; another issuer's people get their credential from it. An older passphrase
    holds until the code is used. That you made a code is recorded, and so is its use: the person approves nothing for a
    day then.

    \b
      twokeys people passphrase NAME
    """
    answer = signed_in(url, ca_file).send("POST", f"/v1/people/{quote(name, safe='')}/passphrase", {})
    click.echo(output.plain(str(answer.get("code", ""))))
    page = output.plain(str(answer.get("page", "")))
    click.echo(f"Give it to {output.plain(name)}, who types it once, within a day, at {page}", err=True)
