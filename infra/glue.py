"""The audit tables for Athena, generated from `twokeys.tables`: `python -m infra.glue` writes glue.json.

    records       lines/dt=YYYY-MM-DD/<segment>.jsonl.gz     a row is a line
    seal_files    seals/dt=YYYY-MM-DD/<segment>.json         a row is a file, its Seal one struct
    seals         a view of seal_files with the columns of `twokeys.tables.SEALS`

Partitions are projected from the day, so nothing has to be told of new ones. The SerDe can't lift members of a
struct to columns; the view does, and auditors' SQL is the same here and on one machine.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import click

from twokeys.tables import RECORDS, SEALS, ColumnType, Table

PATH: Final = Path(__file__).parent / "glue.json"

FIRST_DAY: Final = "2026-01-01"
"""No recording is older. Queries without a day read each day from here: one listing a day."""

OUTSIDE_SEAL: Final = ("key_id", "signature")
"""Columns of `SEALS` that stand beside the Seal in its file."""

HIVE: Final = {
    ColumnType.TEXT: "string",
    ColumnType.INTEGER: "bigint",
    ColumnType.BOOLEAN: "boolean",
    ColumnType.TEXT_LIST: "array<string>",
}

PRESTO: Final = {
    ColumnType.TEXT: "varchar",
    ColumnType.INTEGER: "bigint",
    ColumnType.BOOLEAN: "boolean",
    ColumnType.TEXT_LIST: "array(varchar)",
}

_DATABASE: Final = {"Ref": "AuditDatabase"}


def fragment() -> dict[str, Any]:
    """The stack's resources."""
    inner = [column for column in SEALS.columns if column.name not in OUTSIDE_SEAL]
    struct = ",".join(f"{column.name}:{HIVE[column.type]}" for column in inner)
    seal_file = [
        {"Name": "seal", "Type": f"struct<{struct}>", "Comment": "What is signed."},
        *(column for column in _columns(SEALS) if column["Name"] in OUTSIDE_SEAL),
    ]
    return {
        "Resources": {
            "RecordsTable": _files(RECORDS.name, RECORDS.comment, _columns(RECORDS), "lines"),
            "SealFilesTable": _files("seal_files", "Seals as they are stored.", seal_file, "seals"),
            "SealsView": _seals_view(),
        }
    }


def _columns(table: Table) -> list[dict[str, str]]:
    return [{"Name": one.name, "Type": HIVE[one.type], "Comment": one.comment} for one in table.columns]


def _files(name: str, comment: str, columns: list[dict[str, str]], folder: str) -> dict[str, Any]:
    """A table over JSON lines in daily folders."""
    # In ${!dt} the mark keeps Fn::Sub from taking Athena's own placeholder for one of ours.
    template = "s3://${RecordingsBucket}/" + folder + "/dt=${!dt}/"
    return _table(
        {
            "Name": name,
            "Description": comment,
            "TableType": "EXTERNAL_TABLE",
            "PartitionKeys": [{"Name": RECORDS.partition, "Type": "string", "Comment": "Day of the Seal, UTC."}],
            "Parameters": {
                "classification": "json",
                "projection.enabled": "true",
                "projection.dt.type": "date",
                "projection.dt.format": "yyyy-MM-dd",
                # A day ahead: a function's clock may be past midnight before Athena's.
                "projection.dt.range": f"{FIRST_DAY},NOW+1DAYS",
                "projection.dt.interval": "1",
                "projection.dt.interval.unit": "DAYS",
                "storage.location.template": {"Fn::Sub": template},
            },
            "StorageDescriptor": {
                "Columns": columns,
                "Location": {"Fn::Sub": f"s3://${{RecordingsBucket}}/{folder}/"},
                "InputFormat": "org.apache.hadoop.mapred.TextInputFormat",
                "OutputFormat": "org.apache.hadoop.hive.ql.io.HiveIgnoreKeyTextOutputFormat",
                "SerdeInfo": {
                    "SerializationLibrary": "org.openx.data.jsonserde.JsonSerDe",
                    # A line that is no JSON fails the query: an auditor must not be shown less than there is.
                    "Parameters": {"ignore.malformed.json": "false", "case.insensitive": "false"},
                },
            },
        }
    )


def _seals_view() -> dict[str, Any]:
    """A view as Athena stores its own: base64 of a JSON description in `ViewOriginalText`."""
    picked = [
        f'"{one.name}"' if one.name in OUTSIDE_SEAL else f'seal."{one.name}" AS "{one.name}"' for one in SEALS.columns
    ]
    described = {
        # Names of our own schema, nobody's input.
        "originalSql": f'SELECT {", ".join(picked)}, "{SEALS.partition}" FROM seal_files',  # noqa: S608
        "catalog": "awsdatacatalog",
        "schema": "${AuditDatabase}",
        "columns": [
            *({"name": one.name, "type": PRESTO[one.type]} for one in SEALS.columns),
            {"name": SEALS.partition, "type": "varchar"},
        ],
    }
    text = {"Fn::Base64": {"Fn::Sub": json.dumps(described)}}
    return _table(
        {
            "Name": SEALS.name,
            "Description": SEALS.comment,
            "TableType": "VIRTUAL_VIEW",
            "Parameters": {"presto_view": "true", "comment": "Presto View"},
            "PartitionKeys": [],
            "StorageDescriptor": {
                "Columns": [*_columns(SEALS), {"Name": SEALS.partition, "Type": "string"}],
                "SerdeInfo": {},
            },
            "ViewOriginalText": {"Fn::Sub": ["/* Presto View: ${View} */", {"View": text}]},
            "ViewExpandedText": "/* Presto View */",
        }
    )


def _table(table_input: dict[str, Any]) -> dict[str, Any]:
    properties = {"CatalogId": {"Ref": "AWS::AccountId"}, "DatabaseName": _DATABASE, "TableInput": table_input}
    return {"Type": "AWS::Glue::Table", "Properties": properties}


def text() -> str:
    """What glue.json says."""
    return json.dumps(fragment(), indent=1, ensure_ascii=False) + "\n"


@click.command()
def main() -> None:
    """Write glue.json anew; needed after a change of `twokeys/tables.py`."""
    PATH.write_text(text(), "utf-8")
    click.echo(f"wrote {PATH.name}")


if __name__ == "__main__":
    main()
