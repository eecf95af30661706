"""`twokeys audit`: query the records, replay a session, prove that nothing is missing."""

from __future__ import annotations

import click

from twokeys.tables import TABLES
from twokeys_cli import output
from twokeys_cli.audit_erase import erase
from twokeys_cli.audit_query import query, saved
from twokeys_cli.audit_show import show
from twokeys_cli.audit_verify import verify


@click.group()
def audit() -> None:
    """Query, replay and verify what was recorded.

    \b
    twokeys audit tables                                    the tables and columns
    twokeys audit saved                                     questions that auditors ask often
    twokeys audit query "SELECT * FROM records LIMIT 10"    ask anything
    twokeys audit show SESSION                              replay one session
    twokeys audit verify                                    prove that nothing is missing or changed
    twokeys audit erase SESSION --reason WHY                make its texts and values unreadable
    """


for command in (query, saved, show, verify, erase):
    audit.add_command(command)


@audit.command()
def tables() -> None:
    """Print the tables, their columns and what each column says."""
    console = output.console()
    for one in TABLES:
        rows = [(column.name, column.type.value, column.comment) for column in one.columns]
        rows.append((one.partition, "text", "The day of the seal, YYYY-MM-DD; --since and --until load by it."))
        console.print(output.table(("column", "type", "what it says"), rows, f"{one.name}: {one.comment}"))
        console.print()
