"""`twokeys request`: list, show, approve or deny what is held. What is approved is what was shown here."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import click
from rich.text import Text

from twokeys.copy_data import CopyData
from twokeys.digest import from_base64
from twokeys.errors import Refused
from twokeys.grant import read_terms
from twokeys.preview import Preview
from twokeys_cli import output, previewed
from twokeys_cli.api import Api, connection, signed_in
from twokeys_cli.confirm import terminal
from twokeys_cli.held import Held, read_command, whole_command

STATES: Final = ("pending", "approved", "spending", "in_doubt", "done", "failed", "denied", "expired", "withdrawn",
                 "lapsed", "all")  # fmt: skip
CONFIRM_CHARACTERS: Final = 4
"""How many characters of the digest a person types to approve."""


@click.group()
def request() -> None:
    """List, show, approve or deny what is held.

    \b
    twokeys request list                         what waits for a decision
    twokeys request show REQUEST                 the exact statement and values
    twokeys request approve REQUEST              asks you to type what you approve
    twokeys request deny REQUEST --reason WHY    the caller is told why
    """


@request.command("list")
@connection
@click.option("--state", type=click.Choice(STATES), default="pending", show_default=True)
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def list_(url: str, ca_file: Path | None, state: str, form: str) -> None:
    """List requests, those that wait for a decision unless told otherwise."""
    found = signed_in(url, ca_file).get("/v1/requests" + ("" if state == "all" else f"?state={state}"))
    requests = found.get("requests", [])
    columns = ("id", "state", "caller", "target", "kind", "statement", "seconds_left")
    rows = [[one.get(column) for column in columns] for one in requests]
    if form == "json":
        output.write(output.as_json(columns, rows))
    elif rows:
        output.console().print(output.table(columns, rows))
    else:
        click.echo("Nothing waits for a decision." if state == "pending" else "There is no such request.")


@request.command()
@click.argument("request_id")
@connection
def show(request_id: str, url: str, ca_file: Path | None) -> None:
    """Show one request: who asks, the exact statement with its values, why it was held."""
    _show(*_fetch(signed_in(url, ca_file), request_id))


@request.command()
@click.argument("request_id")
@connection
@click.option("--reason", default="", help="Kept with your approval.")
@click.option("--digest", default="", help="Approve without asking: the whole digest that you were shown.")
def approve(request_id: str, url: str, ca_file: Path | None, reason: str, digest: str) -> None:
    """Approve one request, after showing it and asking you to type the start of its digest.

    \b
      twokeys request approve req_abcdefghijklmnopqrstuvwxyz
    """
    api = signed_in(url, ca_file)
    held, command, preview = _fetch(api, request_id)
    if digest and digest != held.digest:
        raise Refused(
            "The request's digest is not the one you named.",
            not_done="Nothing was approved.",
            advice=f"Look at it: twokeys request show {request_id}",
            code="digest_mismatch",
        )
    if not digest:
        _show(held, command, preview)
        _confirm(held, "approve")
    _vote(api, held, approve=True, reason=reason)


@request.command()
@click.argument("request_id")
@connection
@click.option("--reason", required=True, help="Told to the caller.")
@click.option("--yes", is_flag=True, help="Don't show it and don't ask.")
def deny(request_id: str, url: str, ca_file: Path | None, reason: str, yes: bool) -> None:
    """Deny one request; the caller is told the reason, and its session stays usable.

    \b
      twokeys request deny req_abcdefghijklmnopqrstuvwxyz --reason "not before the backup"
    """
    api = signed_in(url, ca_file)
    if not reason.strip():
        raise click.BadParameter("is empty", param_hint="--reason")
    held, command, preview = _fetch(api, request_id)
    if not yes:
        _show(held, command, preview)
        _confirm(held, "deny")
    _vote(api, held, approve=False, reason=reason)


def _fetch(api: Api, request_id: str) -> tuple[Held, dict[str, Any], Preview | None]:
    """The request, its whole command, and what it would do, checked against the digests it claims."""
    held = Held.read(api.get(f"/v1/requests/{quote(request_id, safe='')}"), request_id)
    return held, read_command(held, whole_command(api, held)), previewed.read(api, held)


def _show(held: Held, command: dict[str, Any], preview: Preview | None) -> None:
    console = output.console()
    console.print(output.facts(held.facts()))
    if command["kind"] == "grant":
        console.print(Text("\nsession grant", "bold"))
        console.print(output.visible(read_terms(command).told))
        console.print(Text(f"\ndigest {held.digest}", "dim"))
        return
    text = from_base64(command["text"])
    console.print(Text("\nstatement, exactly as it will run", "bold"))
    console.print(output.visible(text.decode("utf-8", "backslashreplace")))
    values = command.get("parameter_values", [])
    formats = command.get("parameter_formats", [])
    types = dict(enumerate(held.types(), 1))
    for number, (value, form) in enumerate(zip(values, formats, strict=True), 1):
        line = Text(f"  ${number}", "bold")
        if kind := types.get(number, ""):
            line.append_text(Text(" ").append_text(output.visible(kind, one_line=True)))
        line.append(" = ", "bold")
        if "bytes" not in value:
            line.append("NULL", "dim")
        elif form == 0:
            line.append_text(output.visible(from_base64(value["bytes"]).decode("utf-8", "backslashreplace")))
        else:
            line.append(f"binary {from_base64(value['bytes']).hex()}")
        console.print(line)
    if "copy" in command:
        copied = CopyData.from_json(command["copy"])
        console.print(Text(f"\n{copied.told}", "bold"))
        console.print(output.visible(copied.head.decode("utf-8", "backslashreplace")))
        if copied.size > len(copied.head):
            console.print(Text(f"… {copied.size - len(copied.head):,} more bytes, not shown", "dim"))
    if preview is not None:
        previewed.show(preview)
    console.print(Text(f"\ndigest {held.digest}", "dim"))


def _confirm(held: Held, verb: str) -> None:
    """Ask for the start of the digest: a key pressed too early, or a script, does not decide."""
    wanted = held.digest[:CONFIRM_CHARACTERS]
    if not terminal().there:
        raise Refused(
            f"Nobody is at the terminal to {verb} it.",
            not_done="Nothing was decided.",
            advice="In a script: approve with --digest DIGEST as it was shown, or deny with --yes.",
            code="not_confirmed",
        )
    typed = click.prompt(f"To {verb}, type the first {CONFIRM_CHARACTERS} characters of the digest ({wanted})")
    if typed.strip().lower() != wanted:
        raise Refused("What you typed is something else.", not_done="Nothing was decided.", code="not_confirmed")


def _vote(api: Api, held: Held, *, approve: bool, reason: str) -> None:
    body = {"approve": approve, "reason": reason, "command_digest": held.digest}
    if shown := str(held.fields.get("preview_digest", "")):
        body["preview_digest"] = shown
    answer = api.send("POST", f"/v1/requests/{quote(held.id, safe='')}/votes", body)
    click.echo(f"{held.id} is {output.plain(str(answer.get('state', 'decided')))}.")
