"""`twokeys audit show`: one session as a timeline, bodies included. Reading them is itself recorded."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import click
from rich.text import Text

from twokeys_cli import output
from twokeys_cli.api import Api, connection, signed_in

MAX_PAGES: Final = 10_000
"""Most pages asked for: a control plane that never ends its answer does not keep us for ever."""

_COLOURS: Final = {
    "deny": "red", "denied": "red", "failed": "red", "expired": "red", "in_doubt": "red", "hold": "yellow",
    "approved": "green", "done": "green", "allow": "green",
}  # fmt: skip
_IN_THE_HEAD: Final = ("seq", "source", "time", "type", "outcome", "session", "body", "body_sha256")


@click.command()
@click.argument("session")
@connection
@click.option("--format", "form", type=click.Choice(["timeline", "json"]), default="timeline", show_default=True)
def show(session: str, url: str, ca_file: Path | None, form: str) -> None:
    """Replay one session: each step in order, with exact texts and values.

    For people in the group `auditors`. Each reading is recorded with your name. Session ids: twokeys audit query
    "SELECT DISTINCT session, caller FROM records".

    \b
      twokeys audit show ses_4f2k
    """
    api = signed_in(url, ca_file)
    console = output.console()
    count = 0
    for record in records(api, session):
        count += 1
        if form == "json":
            output.write(json.dumps(record))
        else:
            console.print(step(record))
    if not count:
        click.echo("The control plane knows no record of this session (yet).", err=True)
        raise SystemExit(1)


def records(api: Api, session: str) -> Iterator[dict[str, Any]]:
    """Every record of a session, page by page."""
    after = ""
    for _ in range(MAX_PAGES):
        page = api.get(f"/v1/sessions/{quote(session, safe='')}/bodies" + (f"?after={quote(after)}" if after else ""))
        yield from page.get("records", [])
        after = str(page.get("next", "") or "")
        if not after:
            return


def step(record: dict[str, Any]) -> Text:
    """One record as lines of a timeline."""
    header = {**record, **record.get("header", {})} if isinstance(record.get("header"), dict) else record
    outcome = str(header.get("outcome", ""))
    line = Text()
    line.append_text(output.visible(str(header.get("time", "")), one_line=True))
    line.append("  ")
    line.append_text(output.visible(str(header.get("type", "")), one_line=True))
    if outcome:
        line.append("  ")
        line.append(output.plain(outcome), _COLOURS.get(outcome, "bold"))
    for name, value in header.items():
        if name not in (*_IN_THE_HEAD, "header") and value not in ("", None, [], False):
            line.append(f"\n    {output.plain(name)}: ", "dim")
            line.append_text(output.cell(value))
    body = record.get("body")
    for name, value in (readable(body) if isinstance(body, dict) else {"body": body} if body else {}).items():
        line.append(f"\n    {output.plain(str(name))}: ", "bold")
        line.append_text(output.visible(value) if isinstance(value, str) else output.cell(value))
    return line


def readable(body: dict[str, Any]) -> dict[str, Any]:
    """A recorded Command with its bytes as people read them: the exact text, the values, a Bind as escaped bytes."""
    shown = dict(body)
    for name in ("text", "bind"):
        if isinstance(shown.get(name), str):
            shown[name] = _unpacked(shown[name])
    values = shown.get("parameter_values")
    if isinstance(values, list):
        shown["parameter_values"] = [
            _unpacked(value["bytes"]) if isinstance(value, dict) and "bytes" in value else "NULL" for value in values
        ]
    copied = shown.get("copy")
    if isinstance(copied, dict) and isinstance(copied.get("head"), str):
        shown["copy"] = {**copied, "head": _unpacked(copied["head"])}
    return shown


def _unpacked(text: str) -> str:
    """Base64 as text; what is no UTF-8 is escaped, and what is no base64 stays as it is."""
    try:
        return base64.b64decode(text, validate=True).decode("utf-8", "backslashreplace")
    except ValueError:
        return text
