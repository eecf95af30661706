"""What a held Command would do, in a terminal: checked against the digest that the Request names, then shown."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

from rich.table import Table
from rich.text import Text

from twokeys.digest import from_base64
from twokeys.errors import Refused
from twokeys.preview import Cell, Preview, Row, preview_digest, read_preview
from twokeys_cli import output
from twokeys_cli.api import Api
from twokeys_cli.held import Held

ARROW: Final = " -> "


def read(api: Api, held: Held) -> Preview | None:
    """The Preview of a Request; None where it has none.

    Raises:
        Refused: when the bytes are of another Preview than the Request names.
    """
    named = str(held.fields.get("preview_digest", ""))
    if not named:
        return None
    data = from_base64(str(api.get(f"/v1/requests/{quote(held.id, safe='')}/preview").get("data", "")))
    if preview_digest(data) != named:
        raise Refused(
            "The preview sent is not the one that the request names.",
            not_done="Nothing was decided.",
            advice="Don't approve it. Tell who runs the control plane.",
            code="preview_mismatch",
        )
    return read_preview(data)


def show(preview: Preview) -> None:
    """Print it."""
    console = output.console()
    console.print(Text("\nwhat it would do", "bold"))
    console.print(output.facts(_facts(preview)))
    for reason in preview.why:
        console.print(output.visible(reason))
    if preview.sample:
        console.print(_table(preview))
    if preview.body:
        console.print(output.visible(preview.body + (" …" if preview.body_cut else "")))
    for lock in preview.locks:
        console.print(_line("lock", lock.on, f"{lock.mode}. {lock.blocks}"))
    for effect in preview.effects:
        console.print(_line(effect.kind, effect.name, effect.does))
    for note in preview.notes:
        console.print(Text.assemble(output.visible(note), style="dim"))


def _facts(preview: Preview) -> dict[str, Any]:
    plan = preview.plan
    return {
        "changes": preview.target,
        "rows": "not known" if preview.rows is None and preview.sample else preview.rows,
        "plan": f"{plan.node}, about {plan.rows} rows, cost {plan.cost}" if plan else "",
    }


def _line(kind: str, name: str, says: str) -> Text:
    return Text.assemble((kind, "bold"), " ", output.visible(name, one_line=True), " ", output.visible(says))


def _table(preview: Preview) -> Table:
    made = Table(header_style="bold")
    for column in preview.columns:
        made.add_column(output.visible(column.name, one_line=True), overflow="fold")
    for row in preview.sample:
        made.add_row(*(_cell(row, at) for at in range(len(preview.columns))))
    return made


def _cell(row: Row, at: int) -> Text:
    """One value; a changed one as what it was and what it becomes."""
    if not row.before or not row.after:
        return _value((row.before or row.after)[at])
    before, after = row.before[at], row.after[at]
    if before == after and not before.masked:
        return _value(before)
    if before == after:
        return Text("hidden by policy", "dim italic")
    return Text.assemble(_value(before), ARROW, (_value(after).plain, "bold"))


def _value(cell: Cell) -> Text:
    if cell.null:
        return Text("NULL", "dim")
    if cell.masked and not cell.text:
        return Text("hidden by policy", "dim italic")
    return output.visible(cell.text + ("…" if cell.cut else ""), one_line=True)
