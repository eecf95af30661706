"""`twokeys audit query` and `twokeys audit saved`: an auditor's SQL, on DuckDB here or on Athena there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from rich.progress import Progress, SpinnerColumn, TextColumn

from twokeys.errors import InvalidInput
from twokeys.saved_queries import ALL, find
from twokeys.saved_query import SavedQuery
from twokeys_cli import audit_place, output

if TYPE_CHECKING:
    from twokeys_cli.athena import Place

_DAYS: Final = {"now": 0, "now-30d": 30}
"""Defaults of times that stand for a moment before now, in days."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is run: the text, its values, and how much it may take (`seconds`, `rows`, `memory`, `since`, `until`)."""

    sql: str
    values: Mapping[str, str]
    limits: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Shown:
    """An answer of either engine."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    truncated: bool
    took: str = ""


@click.command()
@click.argument("sql", required=False, default="")
@click.option("--saved", metavar="NAME", default="", help="Run a saved query; `twokeys audit saved` lists them.")
@audit_place.where
@audit_place.on_aws
@click.option("--format", "form", type=click.Choice(["table", "json", "csv"]), default="table", show_default=True)
@click.option("--param", "params", multiple=True, metavar="NAME=VALUE", help="A value for $NAME; may be repeated.")
@click.option("--since", default="", metavar="YYYY-MM-DD", help="Load no record sealed before this day.")
@click.option("--until", default="", metavar="YYYY-MM-DD", help="Load no record sealed after this day.")
@click.option("--rows", default=10_000, show_default=True, help="Most rows to print.")
@click.option("--seconds", default=60, show_default=True, help="Longest run.")
@click.option("--memory", default=1024, show_default=True, help="Most megabytes to use; the tables are held in memory.")
def query(
    sql: str, saved: str, state: Path | None, folder: Path | None, form: str, params: tuple[str, ...], **more: Any
) -> None:
    """Run one SELECT over the records. Nothing but these tables can be reached, and nothing changed.

    \b
    Who wrote to orders, and who approved it?
      twokeys audit query --saved writes_to --param object=public.orders
    What was asked by one caller? Values go into --param, never into the text:
      twokeys audit query "SELECT time, statement, outcome FROM records WHERE caller = $who" --param who=agent-7
    On AWS, with the auditors' role (the SQL is Athena's there, DuckDB's here):
      twokeys audit query --athena-workgroup twokeys-prod-audit --athena-database twokeys_prod --saved in_doubt
    """
    if bool(sql) == bool(saved):
        raise click.UsageError("Give one: a SELECT, or --saved NAME.")
    given = _values(params)
    if saved:
        chosen = find(saved)
        sql, given = chosen.sql, chosen.values(_defaults(chosen) | given)
    asked = Asked(sql, given, more)
    place = _place(more, here=bool(state or folder))
    shown = _on_athena(asked, place) if place else _on_duckdb(asked, audit_place.find(state, folder))
    match form:
        case "json":
            output.write(output.as_json(shown.columns, shown.rows))
        case "csv":
            output.write(output.as_csv(shown.columns, shown.rows))
        case _:
            output.console().print(output.table(shown.columns, shown.rows))
    if shown.truncated:
        click.echo(f"Cut after {len(shown.rows)} rows: there are more. Try --rows, or ask for less.", err=True)
    if shown.took:
        click.echo(shown.took, err=True)


@click.command()
@click.argument("name", required=False, default="")
def saved(name: str) -> None:
    """List the saved queries; with a NAME, say what it takes and show its SQL.

    \b
      twokeys audit saved
      twokeys audit saved writes_to
    """
    console = output.console()
    if not name:
        console.print(output.table(("name", "what it answers"), [(one.name, one.question) for one in ALL]))
        console.print("Run one with `twokeys audit query --saved NAME`; `twokeys audit saved NAME` says what it takes.")
        return
    chosen = find(name)
    console.print(chosen.question, style="bold")
    console.print(chosen.about)
    rows = [(one.name, one.about, one.default or "must be given", one.example) for one in chosen.parameters]
    console.print(output.table(("--param", "what it is", "default", "example"), rows))
    output.write(chosen.sql)


def _values(params: Sequence[str]) -> dict[str, str]:
    if bad := [one for one in params if "=" not in one]:
        raise click.BadParameter(f"{bad[0]!r} is not NAME=VALUE", param_hint="--param")
    return dict(one.split("=", 1) for one in params)


def _defaults(chosen: SavedQuery) -> dict[str, str]:
    """Defaults that depend on the time, in UTC as records have it."""
    now = datetime.now(UTC)
    return {
        one.name: (now - timedelta(days=_DAYS[one.default])).strftime("%Y-%m-%dT%H:%M:%SZ")
        for one in chosen.parameters
        if one.default in _DAYS
    }


def _place(more: Mapping[str, Any], *, here: bool) -> Place | None:
    """Where on AWS the query runs; None: here. What is on the command line counts more than the environment."""
    workgroup, database = more["athena_workgroup"], more["athena_database"]
    source = click.get_current_context().get_parameter_source
    typed = any(
        (found := source(name)) is not None and found.name == "COMMANDLINE"
        for name in ("athena_workgroup", "athena_database")
    )
    if here and typed:
        raise click.UsageError("--folder and --state name recordings here, --athena-… a deployment there; give one.")
    if here or not (workgroup or typed):
        return None
    if not (workgroup and database):
        raise InvalidInput(
            "Athena needs a workgroup and a database.",
            not_done="Nothing was asked.",
            advice="Give --athena-workgroup and --athena-database, or TWOKEYS_ATHENA_WORKGROUP and "
            "TWOKEYS_ATHENA_DATABASE: outputs of the deployment's stack.",
            code="no_database",
        )
    if more["since"] or more["until"]:
        raise click.UsageError("--since and --until load days here. On Athena, write a condition on dt.")
    audit_place.aws()
    from twokeys_cli.athena import Place

    return Place(workgroup, database, more["region"])


def _on_duckdb(asked: Asked, folder: Path) -> Shown:
    # Only this needs DuckDB and the control plane's package.
    from control_plane.chalicelib.adapters.embedded import audit_sql

    limits = asked.limits
    answer = audit_sql.query(
        folder,
        asked.sql,
        dict(asked.values),
        audit_sql.Days(limits["since"], limits["until"]),
        audit_sql.QueryLimits(seconds=limits["seconds"], memory_megabytes=limits["memory"], rows=limits["rows"]),
    )
    return Shown(answer.columns, answer.rows, answer.truncated)


def _on_athena(asked: Asked, place: Place) -> Shown:
    aws_clients = audit_place.aws()
    # It needs boto3's errors, so it comes after it was looked for.
    from twokeys_cli import athena

    console = output.console(stderr=True)
    column = TextColumn("{task.description}")
    with Progress(SpinnerColumn(), column, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("Athena")

        def tell(progress: athena.Progress) -> None:
            scanned = athena.size(progress.scanned_bytes)
            bar.update(
                task, description=f"{progress.state.lower()}, scanned {scanned}, {progress.seconds:.0f} s, Ctrl-C stops"
            )

        runner = athena.Athena(aws_clients.client("athena", place.region), place, tell=tell)
        try:
            answer = runner.run(
                asked.sql, asked.values, athena.Limits(seconds=asked.limits["seconds"], rows=asked.limits["rows"])
            )
        except KeyboardInterrupt:
            click.echo("Athena was told to stop the query. What it had scanned is charged.", err=True)
            raise
    took = (
        f"scanned {athena.size(answer.scanned_bytes)} in {answer.seconds:.1f} s: "
        f"about ${athena.cost(answer.scanned_bytes):.5f} by Athena's list price in us-east-1 "
        f"(${athena.LIST_PRICE_PER_TB:.0f} per TB, at least {athena.size(athena.LEAST_BILLED_BYTES)} a query)"
    )
    return Shown(answer.columns, answer.rows, answer.truncated, took)
