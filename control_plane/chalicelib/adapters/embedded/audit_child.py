"""The process in which an auditor's SQL runs: started alone, told its job on standard input, then locked.

    job (JSON on stdin) ──▶ load tables ──▶ lock ──▶ judge the text ──▶ run in a read-only transaction ──▶ JSON lines

Run by file name with `python -I`, with no environment and in an empty folder: it imports DuckDB and the standard
library and nothing of Twokeys, so nothing of Twokeys can be asked for. What may be run is judged from DuckDB's own
parse tree, by a list of what is allowed; the configuration is locked besides; and the process has limits of its own.

Answers, one JSON value a line: ``{"columns": [...]}``, then rows as arrays, then ``{"end": true, "truncated": …}``;
or ``{"error": kind, "message": …}`` with kind refused, damaged, memory or query.
"""

from __future__ import annotations

import contextlib
import datetime
import decimal
import json
import math
import os
import resource
import sys
import types
import zoneinfo
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb

TABLE_FUNCTIONS = frozenset({"unnest", "range", "generate_series", "json_each", "json_tree"})
"""Functions that may stand in FROM: those that read nothing but their arguments."""

SCHEMAS = frozenset({"information_schema"})
"""Schemas whose views may be read, beside the tables that were loaded."""

SCALARS_REFUSED = frozenset({"getenv", "nextval", "setval", "write_log", "query", "query_table"})
"""Functions that reach past the tables. Most don't exist in this build; the list is here should one appear."""

ADDRESS_SPACE_BYTES = 6 * 1024**3
"""Backstop for what DuckDB's own memory limit does not count; virtual memory, so far above that limit."""

MAX_LINE_BYTES = 1024 * 1024
"""Longest record that the JSON reader takes; ours are at most 64 KiB."""


class Zone(zoneinfo.ZoneInfo):
    """A time zone with the one method of pytz's that DuckDB calls."""

    def localize(self, time: datetime.datetime) -> datetime.datetime:
        """The same clock reading, said to be of this zone."""
        return time.replace(tzinfo=self)


class RefusedError(Exception):
    """The text asks for something that is not permitted."""


def main() -> None:
    """Read the job, answer, and end."""
    job = json.loads(sys.stdin.buffer.read())
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    out = sys.stdout
    try:
        _limit_process(job["seconds"])
        connection = _connect(job["memory_megabytes"])
        _load(connection, job)
        _lock(connection)
        for answer in _answer(connection, job):
            out.write(answer + "\n")
        out.flush()
    except RefusedError as error:
        _fail(out, "refused", error)
    except (duckdb.OutOfMemoryException, MemoryError) as error:
        _fail(out, "memory", error)
    except DamagedError as error:
        _fail(out, "damaged", error)
    except (duckdb.Error, ValueError, OverflowError, RecursionError) as error:
        _fail(out, "query", error)


class DamagedError(Exception):
    """A stored file can't be read as the table says."""


def _fail(out: Any, kind: str, error: BaseException) -> None:
    out.write("\n" + json.dumps({"error": kind, "message": str(error)[:4000]}) + "\n")
    out.flush()


def _limit_process(seconds: int) -> None:
    """CPU time, no file larger than nothing, no core file; the clock on the wall is watched by the parent."""
    cores = os.cpu_count() or 1
    for kind, limit in (
        (resource.RLIMIT_CPU, seconds * cores + 5),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_AS, ADDRESS_SPACE_BYTES),
    ):
        with contextlib.suppress(ValueError, OSError):  # a lower limit is in force already
            resource.setrlimit(kind, (limit, limit))


def _connect(memory_megabytes: int) -> duckdb.DuckDBPyConnection:
    # DuckDB hands out times with a zone through pytz, which we don't carry; the standard library knows zones too.
    pytz: Any = types.ModuleType("pytz")
    pytz.timezone, pytz.utc = Zone, Zone("UTC")
    sys.modules["pytz"] = pytz
    return duckdb.connect(
        ":memory:",
        config={
            "memory_limit": f"{memory_megabytes}MB",
            "threads": "2",
            "temp_directory": "",
            "python_enable_replacements": "false",
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "allow_community_extensions": "false",
            "allow_persistent_secrets": "false",
        },
    )


def _load(connection: duckdb.DuckDBPyConnection, job: dict[str, Any]) -> None:
    """Read the named files into tables; names are relative to the recordings, so no path can hold a pattern."""
    here = Path.cwd()
    os.chdir(job["recordings"])
    connection.execute("ATTACH ':memory:' AS audit (COMPRESS)")
    connection.execute("USE audit")
    connection.execute("SET TimeZone = 'UTC'")
    for table in job["tables"]:
        columns, inner = table["columns"], table.get("inner", {})
        names = [f'"{name}"' for name in columns]
        declared = ", ".join([*(f'"{name}" {kind}' for name, kind in columns.items()), '"dt" VARCHAR'])
        connection.execute(f'CREATE TABLE "{table["name"]}" ({declared})')
        if not table["files"]:
            continue
        fields = {**{name: kind for name, kind in columns.items() if name not in inner.get("fields", ())}}
        if inner:
            struct = ", ".join(f'"{name}" {columns[name]}' for name in inner["fields"])
            fields[inner["name"]] = f"STRUCT({struct})"
            names = [f'"{inner["name"]}"."{name}"' if name in inner["fields"] else f'"{name}"' for name in columns]
        read = (
            f'INSERT INTO "{table["name"]}" SELECT {", ".join(names)}, '  # noqa: S608 - our own schema's names
            "regexp_extract(filename, 'dt=([0-9-]{10})', 1) FROM read_json($files, format = 'newline_delimited', "
            f"columns = $fields, filename = true, hive_partitioning = false, compression = '{table['compression']}', "
            f"maximum_object_size = {MAX_LINE_BYTES})"
        )
        try:
            connection.execute(read, {"files": table["files"], "fields": fields})
        except duckdb.OutOfMemoryException:
            raise
        except duckdb.Error as error:
            raise DamagedError(str(error)) from error
    os.chdir(here)


def _lock(connection: duckdb.DuckDBPyConnection) -> None:
    for statement in (
        "SET disabled_filesystems = 'LocalFileSystem'",
        "SET enable_external_access = false",
        "SET lock_configuration = true",
    ):
        connection.execute(statement)


def _answer(connection: duckdb.DuckDBPyConnection, job: dict[str, Any]) -> Iterator[str]:
    """Run the text if it may be run, and yield the answer's lines within the limits."""
    sql = job["sql"]
    judge(connection, sql, {table["name"] for table in job["tables"]})
    connection.execute("BEGIN TRANSACTION READ ONLY")
    cursor = connection.execute(sql, job["parameters"] or None)
    yield json.dumps({"columns": [column[0] for column in cursor.description or ()]})
    size, count = 0, 0
    while rows := cursor.fetchmany(500):
        for row in rows:
            line = json.dumps([_plain(value) for value in row], ensure_ascii=False)
            size, count = size + len(line.encode()) + 1, count + 1
            if count > job["rows"] or size > job["output_bytes"]:
                yield json.dumps({"end": True, "truncated": True})
                return
            yield line
    yield json.dumps({"end": True, "truncated": False})


def judge(connection: duckdb.DuckDBPyConnection, sql: str, tables: set[str]) -> None:
    """Raise RefusedError unless the text is one SELECT over the given tables and nothing else."""
    statements = connection.extract_statements(sql)
    if len(statements) != 1:
        raise RefusedError(f"One SELECT is run at a time, and this text holds {len(statements)} statements.")
    kind = statements[0].type.name
    if kind != "SELECT":
        raise RefusedError(f"Only a SELECT is run here, and this is {kind}.")
    found = connection.execute("SELECT json_serialize_sql($sql::VARCHAR)", {"sql": sql}).fetchone()
    tree = json.loads(found[0]) if found else {"error": True}
    if tree.get("error"):
        raise RefusedError("Only a plain SELECT is run here: PIVOT and statements that change data are not.")
    known = {name.lower() for name in tables}
    nodes = list(_nodes(tree))
    for node in nodes:
        known.update(entry["key"].lower() for entry in node.get("cte_map", {}).get("map", []) if "key" in entry)
    for node in nodes:
        _judge_node(node, known)


def _judge_node(node: dict[str, Any], known: set[str]) -> None:
    name = str(node.get("function_name", "")).lower()
    match node.get("type"):
        case "BASE_TABLE":
            schema, table = str(node.get("schema_name", "")).lower(), str(node.get("table_name", ""))
            if node.get("catalog_name") or (schema not in SCHEMAS and (schema or table.lower() not in known)):
                raise RefusedError(f"There is no table {table!r} here: the tables are {', '.join(sorted(known))}.")
        case "TABLE_FUNCTION":
            name = str(node.get("function", {}).get("function_name", "")).lower()
            if name not in TABLE_FUNCTIONS:
                raise RefusedError(f"The function {name} may not stand in FROM: it reads more than these tables.")
        case "DELETE_QUERY_NODE" | "INSERT_QUERY_NODE" | "UPDATE_QUERY_NODE" | "MERGE_QUERY_NODE":
            raise RefusedError("Only a SELECT is run here, and this text changes data.")
        case _ if name in SCALARS_REFUSED:
            raise RefusedError(f"The function {name} is not available here.")


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Every object of the parse tree, without recursion: its depth is the auditor's."""
    stack = [value]
    while stack:
        one = stack.pop()
        if isinstance(one, dict):
            yield one
            stack.extend(one.values())
        elif isinstance(one, list):
            stack.extend(one)


def _plain(value: Any) -> Any:
    """A value as JSON has it; what JSON lacks becomes text."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case list() | tuple():
            return [_plain(one) for one in value]
        case dict():
            return {str(key): _plain(one) for key, one in value.items()}
        case bytes():
            return value.hex()
        case datetime.datetime() | datetime.date() | datetime.time():
            return value.isoformat()
        case decimal.Decimal():
            return str(value)
        case _:
            return str(value)


if __name__ == "__main__":
    main()
