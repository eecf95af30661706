"""The auditor's SQL on AWS: one SELECT in the deployment's workgroup, watched to its end.

    judge ──▶ start ──▶ watch: progress, deadline, Ctrl-C stops it ──▶ read the answer page by page

What may be reached is not decided here but by the auditors' role: it reads tables and recordings and writes nothing.
`judge` keeps a slip of the hand from costing anything. A text for Athena that begins with SELECT, WITH, VALUES or a
parenthesis is a query by Trino's grammar, and Athena takes one statement at a time.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from twokeys.errors import InvalidInput, Refused, TwokeysError, Unavailable
from twokeys.saved_query import execution_parameters, positional
from twokeys_cli.aws_clients import told
from twokeys_cli.output import plain

MAX_QUERY_BYTES: Final = 262_144
"""Longest text that Athena takes (its quotas page, "Query string length")."""

PAGE_ROWS: Final = 1000
"""Rows of one page of results: the most that GetQueryResults gives."""

MAX_ANSWER_CHARACTERS: Final = 32 * 1024 * 1024
"""Most characters of rows taken."""

LIST_PRICE_PER_TB: Final = 5.0
"""US dollars for 2**40 bytes scanned, us-east-1, https://aws.amazon.com/athena/pricing/ as known on 2026-11-22."""

LEAST_BILLED_BYTES: Final = 10 * 1024**2
"""Least that a query is charged for, on the same page."""

FIRST_LOOK_SECONDS: Final = 0.25
SLOWEST_LOOK_SECONDS: Final = 2.0

_FINAL: Final = frozenset({"SUCCEEDED", "FAILED", "CANCELLED"})
_START: Final = re.compile(r"(?:\s+|--[^\n]*(?:\n|\Z)|/\*.*?\*/)*(\(|[A-Za-z]+)", re.DOTALL)
_INTEGERS: Final = frozenset({"tinyint", "smallint", "integer", "int", "bigint"})
_FLOATS: Final = frozenset({"float", "real", "double"})


@dataclass(frozen=True, slots=True)
class Place:
    """Where queries run: names that the deployment's stack prints. Empty region: the one of the AWS settings."""

    workgroup: str
    database: str
    region: str = ""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one query may take: seconds from start to answer, and rows of the answer."""

    seconds: int = 60
    rows: int = 10_000


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a query is: Athena's word for its state, bytes scanned, seconds since the start."""

    state: str
    scanned_bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What a query found: columns, rows of plain values, whether rows were cut off, and what it took."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    truncated: bool
    scanned_bytes: int
    seconds: float


@dataclass(slots=True)
class Athena:
    """Runs queries.

    Args:
        client: boto3's client of Athena.
        place: Where they run.
        wait: Waits so many seconds; tests give their own.
        clock: Seconds that only grow.
        tell: Is told how far the query is, at every look.
    """

    client: Any
    place: Place
    wait: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    tell: Callable[[Progress], None] = field(default=lambda progress: None)

    def run(self, sql: str, values: Mapping[str, str], limits: Limits) -> Answer:
        """Run one SELECT.

        Args:
            sql: Athena's dialect, with `$name` for values.
            values: A value for each `$name`, and no other.
            limits: What it may take.

        Raises:
            InvalidInput: the text, a value or a name is wrong.
            Refused: it is no SELECT, or the role may not.
            Unavailable: Athena is busy or away, a limit or the workgroup's scan cap was reached.
            KeyboardInterrupt: the query was stopped first.
        """
        judge(sql)
        text, names = positional(sql)
        asked: dict[str, Any] = {
            "QueryString": text,
            "WorkGroup": self.place.workgroup,
            "QueryExecutionContext": {"Database": self.place.database},
        }
        if parameters := execution_parameters(names, values):
            asked["ExecutionParameters"] = parameters
        with told("Athena", "The query was not run."):
            execution = str(self.client.start_query_execution(**asked)["QueryExecutionId"])
        try:
            last, status = self._watch(execution, limits.seconds)
        except BaseException:
            # Ctrl-C, the deadline, a lost connection: it would go on, and cost.
            self._stop(execution)
            raise
        if last.state != "SUCCEEDED":
            raise _failure(status, last)
        columns, rows, truncated = self._read(execution, limits.rows)
        return Answer(columns, rows, truncated, last.scanned_bytes, last.seconds)

    def _watch(self, execution: str, seconds: int) -> tuple[Progress, Mapping[str, Any]]:
        """Look until it is over, one way or another."""
        start, pause = self.clock(), FIRST_LOOK_SECONDS
        while True:
            with told("Athena", f"Whether query {execution} ran is not known."):
                found = self.client.get_query_execution(QueryExecutionId=execution)["QueryExecution"]
            scanned = int(found.get("Statistics", {}).get("DataScannedInBytes", 0))
            progress = Progress(str(found["Status"]["State"]), scanned, self.clock() - start)
            self.tell(progress)
            if progress.state in _FINAL:
                return progress, found["Status"]
            if progress.seconds > seconds:
                raise Unavailable(
                    f"The query ran longer than {seconds} seconds, and scanned {size(scanned)}.",
                    not_done="It was stopped; there is no answer.",
                    advice="Ask for fewer days, or give it more with --seconds.",
                    code="query_timeout",
                )
            self.wait(pause)
            pause = min(SLOWEST_LOOK_SECONDS, pause * 1.5)

    def _stop(self, execution: str) -> None:
        with contextlib.suppress(TwokeysError), told("Athena", ""):
            self.client.stop_query_execution(QueryExecutionId=execution)

    def _read(self, execution: str, most: int) -> tuple[tuple[str, ...], tuple[tuple[Any, ...], ...], bool]:
        rows: list[tuple[Any, ...]] = []
        columns: tuple[str, ...] = ()
        taken = 0
        for number, page in enumerate(self._pages(execution)):
            described = page["ResultSetMetadata"].get("ColumnInfo", [])
            columns = tuple(str(column["Name"]) for column in described)
            types = [str(column["Type"]).lower() for column in described]
            for place, row in enumerate(page["Rows"]):
                cells = [cell.get("VarCharValue") for cell in row.get("Data", [])]
                # The first row of a SELECT's results repeats the names.
                if number == place == 0 and tuple(cells) == columns:
                    continue
                taken += sum(len(cell) for cell in cells if cell)
                if len(rows) >= most or taken > MAX_ANSWER_CHARACTERS:
                    return columns, tuple(rows), True
                rows.append(tuple(_plain(cell, kind) for cell, kind in zip(cells, types, strict=True)))
        return columns, tuple(rows), False

    def _pages(self, execution: str) -> Iterator[dict[str, Any]]:
        asked: dict[str, Any] = {"QueryExecutionId": execution, "MaxResults": PAGE_ROWS}
        while True:
            with told("Athena", "The query ran; its answer was not read to the end."):
                page = self.client.get_query_results(**asked)
            yield page["ResultSet"]
            token = page.get("NextToken")
            # The same place again would keep us for ever.
            if not token or token == asked.get("NextToken"):
                return
            asked["NextToken"] = token


def judge(sql: str) -> None:
    """Raise unless the text is a query, of a length that Athena takes.

    Raises:
        InvalidInput: it is too long.
        Refused: it is something else.
    """
    if len(sql.encode("utf-8", "replace")) > MAX_QUERY_BYTES:
        raise InvalidInput(f"The query is over {MAX_QUERY_BYTES} bytes.", not_done="It was not run.")
    found = _START.match(sql)
    if found is None or found[1].upper() not in ("SELECT", "WITH", "VALUES", "("):
        raise Refused(
            f"Only a SELECT is run here, and this begins with {plain(found[1][:40]) if found else 'something else'}.",
            not_done="Nothing was run.",
            advice="`twokeys audit tables` lists the tables and columns.",
            code="query_refused",
        )


def cost(scanned_bytes: int) -> float:
    """US dollars by the list price."""
    return max(scanned_bytes, LEAST_BILLED_BYTES) / 2**40 * LIST_PRICE_PER_TB


def size(count: int) -> str:
    """Bytes as people read them."""
    amount = float(count)
    for unit in ("B", "KB", "MB", "GB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.2f} TB"


def _failure(status: Mapping[str, Any], progress: Progress) -> TwokeysError:
    reason = plain(str(status.get("StateChangeReason") or status.get("AthenaError", {}).get("ErrorMessage", "")))[:2000]
    if "bytes scanned limit" in reason.lower():
        return Unavailable(
            f"The query would read more than the workgroup allows; it had scanned {size(progress.scanned_bytes)}.",
            not_done="Athena stopped it; there is no answer.",
            advice="Ask for fewer days (in your own SQL: a condition on dt), or raise ScanCapBytes of the stack.",
            code="scan_cap",
        )
    if progress.state == "CANCELLED":
        return Unavailable(f"The query was stopped by somebody: {reason or 'no reason given'}.",
                           not_done="There is no answer.", code="query_stopped")  # fmt: skip
    return InvalidInput(
        f"The query failed: {reason or 'Athena gives no reason'}",
        not_done="There is no answer.",
        advice="`twokeys audit tables` lists the tables and columns; the SQL is Athena's (Trino).",
        code="query_failed",
    )


def _plain(cell: str | None, kind: str) -> Any:
    """A value as JSON has it; lists, times and decimals stay Athena's text."""
    if cell is None:
        return None
    try:
        match kind:
            case "boolean":
                return cell == "true"
            case _ if kind in _INTEGERS:
                return int(cell)
            case _ if kind in _FLOATS:
                return float(cell) if cell not in ("NaN", "Infinity", "-Infinity") else cell
    except ValueError:
        return cell
    return cell
