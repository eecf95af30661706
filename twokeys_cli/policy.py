"""`twokeys policy`: show the policy, propose a change, let a second person approve it."""

from __future__ import annotations

import difflib
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
from rich.text import Text

from twokeys.errors import Refused
from twokeys.policy import Policies
from twokeys_cli import output
from twokeys_cli.api import Api, connection, signed_in
from twokeys_cli.confirm import terminal


@click.group()
def policy() -> None:
    """Show the policy, propose a change, approve somebody else's.

    \b
    twokeys policy show > policy.cedar        take the policy that is in force
    twokeys policy check policy.cedar         validate a text, here, without sending it
    twokeys policy put policy.cedar           propose it
    twokeys policy proposals                  what is proposed, as a difference
    twokeys policy approve PROPOSAL           by another person than its author
    """


@policy.command()
@connection
def show(url: str, ca_file: Path | None) -> None:
    """Print the policy that is in force (Cedar)."""
    found = signed_in(url, ca_file).get("/v1/policies")
    if sys.stdout.isatty():
        output.console().print(output.visible(str(found.get("text", ""))))
    else:
        output.write(str(found.get("text", "")))
    click.echo(f"revision {found.get('revision', '?')}", err=True)


@policy.command()
@click.argument("file", type=click.File("r", encoding="utf-8"))
def check(file: Any) -> None:
    """Validate a policy text against the schema. Nothing is sent."""
    Policies(file.read(), 0)
    click.echo("The policy is valid.")


@policy.command()
@click.argument("file", type=click.File("r", encoding="utf-8"))
@connection
@click.option("--reason", default="", help="Why; shown to who approves it.")
def put(file: Any, url: str, ca_file: Path | None, reason: str) -> None:
    """Propose a policy. It is in force when another person has approved it.

    \b
      twokeys policy put policy.cedar --reason "orders may be read by ci"
    """
    api = signed_in(url, ca_file)
    text = file.read()
    Policies(text, 0)
    current = api.get("/v1/policies")
    body = {"text": text, "reason": reason, "base_revision": int(current.get("revision", 0))}
    answer = api.send("PUT", "/v1/policies", body)
    proposal = output.plain(str(answer.get("id", "")))
    click.echo(f"Proposed as {proposal}. Another person approves it: twokeys policy approve {proposal}")


@policy.command()
@connection
def proposals(url: str, ca_file: Path | None) -> None:
    """List proposals, each with what it changes."""
    api = signed_in(url, ca_file)
    current, found = api.get("/v1/policies"), _proposals(api)
    for one in found:
        _difference(current, one)
    if not found:
        click.echo("No change is proposed.")


@policy.command()
@click.argument("proposal")
@connection
@click.option("--deny", is_flag=True, help="Turn it down instead.")
@click.option("--reason", default="", help="Why; required to turn it down.")
@click.option("--yes", is_flag=True, help="Don't ask.")
def approve(proposal: str, url: str, ca_file: Path | None, deny: bool, reason: str, yes: bool) -> None:
    """Approve a proposed policy, after showing what it changes."""
    api = signed_in(url, ca_file)
    if deny and not reason.strip():
        raise click.UsageError("--deny needs --reason.")
    one = next((found for found in _proposals(api) if found.get("id") == proposal), None)
    if one is None:
        raise Refused(f"There is no proposal {proposal!r}.", not_done="Nothing was decided.")
    _difference(api.get("/v1/policies"), one)
    if not yes:
        verb = "turn it down" if deny else "put it in force"
        if not terminal().there or click.prompt(f"To {verb}, type its id") != proposal:
            raise Refused("Nobody confirmed it.", not_done="Nothing was decided.", code="not_confirmed")
    body = {"approve": not deny, "reason": reason, "text_sha256": str(one.get("text_sha256", ""))}
    answer = api.send("POST", f"/v1/policies/{quote(proposal, safe='')}/votes", body)
    click.echo(f"{proposal} is {output.plain(str(answer.get('state', 'decided')))}.")


def _proposals(api: Api) -> list[dict[str, Any]]:
    found = api.get("/v1/policies").get("proposals", [])
    return [one for one in found if isinstance(one, dict)]


def _difference(current: dict[str, Any], proposed: dict[str, Any]) -> None:
    console = output.console()
    console.print(
        output.facts({name: proposed.get(name) for name in ("id", "author", "reason", "created_at", "state")})
    )
    before, after = (str(one.get("text", "")).splitlines() for one in (current, proposed))
    for line in difflib.unified_diff(before, after, "in force", "proposed", lineterm=""):
        colour = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "")
        shown = output.visible(line)
        console.print(Text().append_text(shown) if not colour else Text("", colour).append_text(shown))
    console.print()
