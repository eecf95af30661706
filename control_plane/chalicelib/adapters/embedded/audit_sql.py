"""The auditor's SQL on one machine: DuckDB in a child process that can reach nothing but the tables.

    recordings/{lines,seals}/dt=… ──names of sealed segments──▶ audit_child (locked) ──▶ Answer

Tables and columns are those of `twokeys.tables`; only Segments that have a Seal are loaded. The child gets no
environment, an empty folder, no standard input, and limits on time, memory, rows and bytes.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from twokeys.errors import InvalidInput, Refused, TwokeysError, Unavailable
from twokeys.tables import RECORDS, SEALS, TABLES, duckdb_columns

_CHILD: Final = Path(__file__).with_name("audit_child.py")
_SEGMENT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}-\d{12,16}")
_DAY: Final = re.compile(r"dt=(\d{4}-\d{2}-\d{2})", re.ASCII)
_PARAMETER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}", re.ASCII)
_UNKNOWN_NAME: Final = re.compile(r'(?:column|Table with name|Function with name) "?([A-Za-z0-9_]+)"? ')
_SEAL_FIELDS: Final = tuple(column.name for column in SEALS.columns if column.name not in ("key_id", "signature"))


@dataclass(frozen=True, slots=True)
class QueryLimits:
    """What one query may use.

    Args:
        seconds: Longest run, loading included.
        memory_megabytes: DuckDB's memory limit, the loaded tables included; nothing is spilled to disk.
        rows: Most rows answered; the rest is cut, and the answer says so.
        output_bytes: Most bytes of rows answered, likewise.
        text_bytes: Longest SQL text.
        parameters: Most parameters.
    """

    seconds: int = 60
    memory_megabytes: int = 1024
    rows: int = 10_000
    output_bytes: int = 32 * 1024 * 1024
    text_bytes: int = 64 * 1024
    parameters: int = 64


@dataclass(frozen=True, slots=True)
class Days:
    """Which `dt` partitions are loaded: first and last day, `YYYY-MM-DD`, both included; empty for open ends."""

    first: str = ""
    last: str = ""

    def __post_init__(self) -> None:
        if any(day and not re.fullmatch(r"\d{4}-\d{2}-\d{2}", day, re.ASCII) for day in (self.first, self.last)):
            raise InvalidInput("A day is not written YYYY-MM-DD.", not_done="Nothing was run.")

    def holds(self, day: str) -> bool:
        """Whether a day is one of these."""
        return (not self.first or self.first <= day) and (not self.last or day <= self.last)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a query found: column names, rows of plain JSON values, and whether rows were cut off."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    truncated: bool


_ALL_DAYS: Final = Days()
_LIMITS: Final = QueryLimits()


def query(
    recordings: Path,
    sql: str,
    parameters: Mapping[str, str] | None = None,
    days: Days = _ALL_DAYS,
    limits: QueryLimits = _LIMITS,
) -> Answer:
    """Run one SELECT over the sealed records.

    Args:
        recordings: The folder with `lines/` and `seals/`.
        sql: One SELECT, DuckDB's dialect.
        parameters: Values for `$name`, always as values and never as text of the query.
        days: Which partitions to load.
        limits: What the query may use.

    Raises:
        InvalidInput: the text is too long, is not understood, or names what does not exist.
        Refused: it asks for something other than a SELECT over the tables.
        Unavailable: there are no recordings, they are damaged, or a limit was reached.
    """
    parameters = parameters or {}
    if len(sql.encode("utf-8", "replace")) > limits.text_bytes or len(parameters) > limits.parameters:
        raise InvalidInput(
            f"The query is over {limits.text_bytes} bytes or has over {limits.parameters} parameters.",
            not_done="It was not run.",
        )
    if bad := [name for name in parameters if not _PARAMETER.fullmatch(name)]:
        raise InvalidInput(f"{bad[0]!r} is no parameter name.", not_done="The query was not run.")
    if not (recordings / "seals").is_dir():
        raise Unavailable(
            f"There are no recordings in {recordings}.",
            not_done="The query was not run.",
            advice="Name the state folder with --state, or a copied recordings folder with --folder.",
        )
    try:
        tables = _tables(recordings, days)
    except OSError as error:
        raise Unavailable(
            f"{error.filename or recordings} can't be read ({error.strerror}).",
            not_done="The query was not run.",
            advice="Run it as a user who may read the recordings.",
        ) from error
    job = {
        "recordings": str(recordings.resolve()),
        "tables": tables,
        "sql": sql,
        "parameters": dict(parameters),
        "seconds": limits.seconds,
        "memory_megabytes": limits.memory_megabytes,
        "rows": limits.rows,
        "output_bytes": limits.output_bytes,
    }
    return _read_answer(_run(json.dumps(job).encode(), limits), limits)


def _tables(recordings: Path, days: Days) -> list[dict[str, Any]]:
    sealed = dict(_segments(recordings / "seals", ".json", days))
    lines = dict(_segments(recordings / "lines", ".jsonl.gz", _ALL_DAYS))
    if missing := sorted(set(sealed) - set(lines)):
        # An answer from what is left would look complete.
        raise _refusal("damaged", f"{missing[0]} has no lines", _LIMITS)
    return [
        {
            "name": RECORDS.name,
            "columns": duckdb_columns(RECORDS),
            "compression": "gzip",
            "files": [f"lines/{lines[name]}" for name in sorted(sealed)],
        },
        {
            "name": SEALS.name,
            "columns": duckdb_columns(SEALS),
            "compression": "none",
            "files": [f"seals/{path}" for _, path in sorted(sealed.items())],
            "inner": {"name": "seal", "fields": list(_SEAL_FIELDS)},
        },
    ]


def _segments(folder: Path, suffix: str, days: Days) -> Iterator[tuple[str, str]]:
    """(segment id, path below the folder) of every well-named file in the wanted partitions."""
    if not folder.is_dir():
        return
    for partition in folder.iterdir():
        day = _DAY.fullmatch(partition.name)
        if day is None or not days.holds(day[1]):
            continue
        for path in partition.iterdir():
            name = path.name.removesuffix(suffix)
            regular = path.is_file() and not path.is_symlink()
            if regular and path.name.endswith(suffix) and _SEGMENT.fullmatch(name):
                yield name, f"{partition.name}/{path.name}"


def _run(job: bytes, limits: QueryLimits) -> bytes:
    """Start the child, hand it the job, and take what it writes; it is dead when this returns."""
    most = limits.output_bytes + 1024 * 1024
    with tempfile.TemporaryDirectory(prefix="twokeys-audit-") as empty:
        child = subprocess.Popen(  # noqa: S603 - our own interpreter and file
            [sys.executable, "-I", str(_CHILD)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={},
            cwd=empty,
            start_new_session=True,
        )
        late = threading.Event()

        def stop() -> None:
            late.set()
            child.kill()

        timer = threading.Timer(limits.seconds, stop)
        timer.start()
        try:
            output = _exchange(child, job, most)
        finally:
            timer.cancel()
            child.kill()
            child.wait()
    if late.is_set():
        raise Unavailable(
            f"The query ran longer than {limits.seconds} seconds.",
            not_done="It was stopped; there is no answer.",
            advice="Load fewer days with --since and --until, or ask for less.",
            code="query_timeout",
        )
    return output


def _exchange(child: subprocess.Popen[bytes], job: bytes, most: int) -> bytes:
    to_child: IO[bytes] | None = child.stdin
    from_child: IO[bytes] | None = child.stdout
    if to_child is None or from_child is None:
        raise Unavailable("The query's process has no pipes.", not_done="Nothing was run.")
    with from_child:
        with contextlib.suppress(BrokenPipeError), to_child:
            to_child.write(job)
        return from_child.read(most)


def _read_answer(output: bytes, limits: QueryLimits) -> Answer:
    columns: tuple[str, ...] = ()
    rows: list[tuple[Any, ...]] = []
    for line in output.splitlines():
        try:
            value = json.loads(line) if line else {}
        except ValueError:
            break
        match value:
            case list():
                rows.append(tuple(value))
            case {"columns": names}:
                columns = tuple(names)
            case {"end": True, "truncated": truncated}:
                return Answer(columns, tuple(rows), bool(truncated))
            case {"error": kind, "message": message}:
                raise _refusal(kind, message, limits)
    raise _refusal("memory", "its process ended before it answered", limits)


def _refusal(kind: str, message: str, limits: QueryLimits) -> TwokeysError:
    not_run = "The query was not run, or has no answer."
    # DuckDB quotes values in its messages, and a record's values were written by others.
    message = "".join(one if one.isprintable() or one == "\n" else f"<U+{ord(one):04X}>" for one in message)
    match kind:
        case "refused":
            return Refused(message, not_done="Nothing was run.", advice=_SEE_TABLES, code="query_refused")
        case "damaged":
            return Unavailable(
                "A recording can't be read.",
                not_done=not_run,
                advice="Run `twokeys audit verify`: it says where it is damaged.",
                code="damaged_recording",
            )
        case "memory":
            return Unavailable(
                f"The query needed more than {limits.memory_megabytes} MB.",
                not_done=not_run,
                advice="Load fewer days with --since and --until, or ask for less.",
                code="query_memory",
            )
    if "disabled by configuration" in message or "launched in read-only mode" in message:
        return Refused(
            "The query reaches past its tables.", not_done="Nothing was read.", advice=_SEE_TABLES, code="query_refused"
        )
    return InvalidInput(
        f"The query failed: {message.strip()}", not_done=not_run, advice=_advice(message), code="query_failed"
    )


_SEE_TABLES: Final = "`twokeys audit tables` lists the tables and columns."


def _advice(message: str) -> str:
    """Near names for an unknown one, from the schema."""
    names = sorted({table.name for table in TABLES} | {name for table in TABLES for name in table.names} | {"dt"})
    unknown = _UNKNOWN_NAME.search(message)
    near = difflib.get_close_matches(unknown[1].lower(), names, n=3, cutoff=0.5) if unknown else []
    return (f"Did you mean {', '.join(near)}? " if near else "") + _SEE_TABLES
