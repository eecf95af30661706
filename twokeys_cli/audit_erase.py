"""`twokeys audit erase`: a session's recorded texts and values, made unreadable for good."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import click

from twokeys_cli import output
from twokeys_cli.api import connection, signed_in


@click.command()
@click.argument("session")
@connection
@click.option("--reason", required=True, help="Why; it is recorded.")
@click.option("--yes", is_flag=True, help="Don't ask.")
def erase(session: str, url: str, ca_file: Path | None, reason: str, yes: bool) -> None:
    """Erase the key of SESSION: nobody reads its exact texts, values and results any more. Owners only.

    Who did what and when, with statements without their literals, stays, and `twokeys audit verify` still passes.
    Commands that were held are kept with their requests, too; see SECURITY.md.

    \b
      twokeys audit erase ses_4f2k --reason "personal data, asked for by its subject"
    """
    if not yes:
        click.confirm(f"Erase what session {output.plain(session)} said, for good?", abort=True, err=True)
    answer = signed_in(url, ca_file).send("POST", f"/v1/sessions/{quote(session, safe='')}/erase", {"reason": reason})
    click.echo(f"The key of {output.plain(session)} was erased by {output.plain(str(answer.get('by', '')))}.")
