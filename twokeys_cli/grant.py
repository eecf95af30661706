"""`twokeys grant`: ask for leave to write for some minutes, and end it."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import click

from twokeys.grant import MAX_MINUTES, MAX_STATEMENTS
from twokeys_cli.api import connection, signed_in
from twokeys_cli.output import plain


@click.group()
def grant() -> None:
    """Ask for leave to write for some minutes, and end it.

    \b
    twokeys grant request …          for yourself, or a machine you answer for
    twokeys request list             it waits there for somebody else's approval
    twokeys grant revoke REQUEST     ends it at once
    """


@grant.command("request")
@connection
@click.option("--caller", required=True, help="Who may write: you, or a machine that you answer for.")
@click.option("--target", required=True, help="Where.")
@click.option("--edge", default="", help="Through which edge; needed where the target has several.")
@click.option("--write", multiple=True, metavar="SCHEMA.TABLE", help="A table whose rows may be changed; repeatable.")
@click.option("--ddl", multiple=True, metavar="SCHEMA.TABLE", help="A table whose definition may; repeatable.")
@click.option("--minutes", type=click.IntRange(1, MAX_MINUTES), default=15, show_default=True)
@click.option("--statements", type=click.IntRange(1, MAX_STATEMENTS), default=50, show_default=True)
@click.option("--reason", required=True, help="For who decides.")
def request_(
    url: str, ca_file: Path | None, caller: str, target: str, edge: str, write: tuple[str, ...], ddl: tuple[str, ...],
    minutes: int, statements: int, reason: str,
) -> None:  # fmt: skip
    """Ask for a session grant. It is approved by somebody else, as any request is.

    Each statement that touches nothing but these tables then runs without asking, is recorded, and takes one from the
    budget. Anything else is asked about as ever.

    \b
      twokeys grant request --caller agent-7 --target prod-db --write public.orders --minutes 15 --statements 50 \\
          --reason "replay the failed import"
    """
    if not write and not ddl:
        raise click.UsageError("Name at least one table with --write or --ddl.")
    accesses = [f"write:table:{table}" for table in write] + [f"ddl:table:{table}" for table in ddl]
    answer = signed_in(url, ca_file).send("POST", "/v1/grants", {
        "caller": caller, "target": target, "edge": edge, "minutes": minutes, "statements": statements,
        "accesses": accesses, "reason": reason,
    })  # fmt: skip
    said = plain(str(answer.get("id", "")))
    click.echo(f"{said} waits for somebody else's approval; it counts at edge {plain(str(answer.get('edge', '')))}.")


@grant.command()
@click.argument("request_id")
@connection
@click.option("--reason", default="", help="Kept with it.")
def revoke(request_id: str, url: str, ca_file: Path | None, reason: str) -> None:
    """End a grant at once, approved or not. What was approved by it already may still run."""
    path = f"/v1/grants/{quote(request_id, safe='')}/revocation"
    answer = signed_in(url, ca_file).send("POST", path, {"reason": reason})
    click.echo(f"{plain(request_id)} is {plain(str(answer.get('state', 'ended')))}.")
