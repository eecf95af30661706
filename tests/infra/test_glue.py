"""The audit tables in Glue are those of `twokeys.tables`, and are current."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from infra import glue
from twokeys.tables import RECORDS, SEALS, ColumnType


def resource(name: str) -> dict[str, Any]:
    found: dict[str, Any] = glue.fragment()["Resources"][name]["Properties"]["TableInput"]
    return found


def test_the_generated_file_is_current() -> None:
    assert glue.PATH.read_text("utf-8") == glue.text(), "run: python -m infra.glue"


def test_records_have_the_columns_of_the_schema_in_order() -> None:
    columns = resource("RecordsTable")["StorageDescriptor"]["Columns"]
    assert [one["Name"] for one in columns] == [one.name for one in RECORDS.columns]
    assert {one["Name"]: one["Type"] for one in columns}["objects"] == "array<string>"
    assert all(one["Comment"] for one in columns)


def test_every_type_of_the_schema_has_one_of_each_engine() -> None:
    assert set(glue.HIVE) == set(glue.PRESTO) == set(ColumnType)


@pytest.mark.parametrize(("table", "folder"), [("RecordsTable", "lines"), ("SealFilesTable", "seals")])
def test_days_are_projected_onto_the_folders_that_recordings_are_published_in(table: str, folder: str) -> None:
    found = resource(table)
    parameters = found["Parameters"]
    assert [one["Name"] for one in found["PartitionKeys"]] == [RECORDS.partition] == [SEALS.partition]
    assert parameters["projection.enabled"] == "true"
    assert parameters["projection.dt.type"] == "date"
    assert parameters["projection.dt.format"] == "yyyy-MM-dd"
    assert parameters["storage.location.template"] == {
        "Fn::Sub": "s3://${RecordingsBucket}/" + folder + "/dt=${!dt}/",
    }
    assert found["StorageDescriptor"]["Location"] == {"Fn::Sub": "s3://${RecordingsBucket}/" + folder + "/"}


def test_a_line_that_is_no_json_is_never_passed_over() -> None:
    for name in ("RecordsTable", "SealFilesTable"):
        serde = resource(name)["StorageDescriptor"]["SerdeInfo"]
        assert serde["Parameters"]["ignore.malformed.json"] == "false"


def test_seals_are_a_view_with_the_columns_of_the_schema() -> None:
    view = resource("SealsView")
    wrapper, parts = view["ViewOriginalText"]["Fn::Sub"]
    assert wrapper == "/* Presto View: ${View} */"
    described = json.loads(parts["View"]["Fn::Base64"]["Fn::Sub"])
    names = [one["name"] for one in described["columns"]]
    assert names == [*(one.name for one in SEALS.columns), "dt"]
    assert names == [one["Name"] for one in view["StorageDescriptor"]["Columns"]]
    assert view["Parameters"]["presto_view"] == "true"
    inner = resource("SealFilesTable")["StorageDescriptor"]["Columns"][0]["Type"]
    for column in SEALS.columns:
        if column.name in glue.OUTSIDE_SEAL:
            assert f'"{column.name}"' in described["originalSql"]
        else:
            assert f'seal."{column.name}" AS "{column.name}"' in described["originalSql"]
            assert f"{column.name}:" in inner


def test_the_view_survives_being_written_and_read_as_athena_does() -> None:
    """CloudFormation's Sub and Base64, done here by hand."""
    _, parts = resource("SealsView")["ViewOriginalText"]["Fn::Sub"]
    text = parts["View"]["Fn::Base64"]["Fn::Sub"].replace("${AuditDatabase}", "twokeys_prod")
    read = json.loads(base64.b64decode(base64.b64encode(text.encode())))
    assert read["schema"] == "twokeys_prod"
    assert "${" not in text
