"""`twokeys audit` on a real recordings folder: what an auditor types, and what comes back."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.twokeys.recording import Recording, public, sample, store
from twokeys.errors import InvalidInput, Refused, TwokeysError, Unavailable
from twokeys.signature import KeyRole
from twokeys_cli.audit import audit


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    own = Recording("control-plane")
    own.add([({"type": "decision", "person": "rob", "outcome": "denied", "reason": "\x1b[2Jno"}, b"")])
    return store(tmp_path / "state" / "control" / "recordings", sample(), own)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(audit, [str(one) for one in arguments])


def failed(*arguments: object) -> TwokeysError:
    result = run(*arguments)
    assert isinstance(result.exception, TwokeysError), result.output
    return result.exception


def heads(result: Result) -> list[str]:
    return [line.split()[1] for line in result.output.splitlines() if line.startswith("  head ")]


def test_a_whole_recording_is_whole_and_prints_its_heads(folder: Path, tmp_path: Path) -> None:
    for where in (("--folder", folder), ("--state", tmp_path / "state")):
        result = run("verify", *where)
        assert result.exit_code == 0, result.output
        assert "whole: 10 records" in result.output
        assert "edge-1: whole, 9 records in 3 segments, 6 bodies" in result.output
    assert [head.split(":")[0] for head in heads(result)] == ["control-plane=1", "edge-1=9"]
    file = tmp_path / "heads.txt"
    file.write_text("\n".join(heads(result)))
    assert run("verify", "--folder", folder, "--heads", file).exit_code == 0


@pytest.mark.parametrize("kind", ["lines", "bodies", "seals"])
def test_a_changed_byte_is_found_and_placed(folder: Path, kind: str) -> None:
    path = next(iter(sorted((folder / kind).glob("*/edge-1-000000000004*"))))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    result = run("verify", "--folder", folder)
    assert result.exit_code == 1
    assert "NOT WHOLE" in result.output
    assert "segment edge-1-000000000004" in result.output
    assert ", byte " in result.output
    assert "control-plane: whole" in result.output


def test_a11_a_cut_off_end_is_found_by_a_head_kept_elsewhere(folder: Path) -> None:
    before = heads(run("verify", "--folder", folder))
    for path in folder.glob("*/*/edge-1-000000000007*"):
        path.unlink()
    assert run("verify", "--folder", folder).exit_code == 0
    result = run("verify", "--folder", folder, *(f"--head={head}" for head in before))
    assert result.exit_code == 1
    assert "end is missing" in result.output
    for path in folder.glob("*/*/edge-1-*"):
        path.unlink()
    result = run("verify", "--folder", folder, "--head", before[1])
    assert result.exit_code == 1, "a source that is gone altogether"
    assert "record 9 is known" in result.output


def test_a_head_names_its_source_where_there_are_several(folder: Path) -> None:
    assert "SOURCE=" in failed("verify", "--folder", folder, "--head", "9:" + "0" * 64).advice
    for bad in ("9", "9:abc", "edge-1=x:" + "0" * 64, "-1:" + "0" * 64):
        assert isinstance(failed("verify", "--folder", folder, f"--head={bad}"), InvalidInput)


def test_trust_is_in_the_keys_that_were_named(folder: Path, tmp_path: Path) -> None:
    mine = tmp_path / "keys.json"
    shutil.copy(folder / "keys.json", mine)
    assert run("verify", "--folder", folder, "--keys", mine).exit_code == 0
    for text in ("", "[]", "{}", '{"keys":[1]}', json.dumps([public(role=KeyRole.APPROVAL).to_json()])):
        mine.write_text(text)
        assert isinstance(failed("verify", "--folder", folder, "--keys", mine), InvalidInput)
    assert "--keys" in failed("verify", "--folder", folder, "--keys", tmp_path / "none").advice


def test_what_waits_for_its_seal_is_named_and_is_not_proved(folder: Path) -> None:
    next(folder.glob("seals/*/edge-1-000000000007.json")).unlink()
    result = run("verify", "--folder", folder)
    assert result.exit_code == 0
    assert "1 segments from record 7 on wait for their seal" in result.output
    next(folder.glob("seals/*/edge-1-000000000001.json")).unlink()
    result = run("verify", "--folder", folder)
    assert result.exit_code == 1
    assert "The seal is missing" in result.output


def test_strange_doubled_and_moved_files_are_told(folder: Path) -> None:
    seal = next(folder.glob("seals/*/edge-1-000000000007.json"))
    (folder / "seals" / "dt=2026-11-21").mkdir()
    shutil.copy(seal, folder / "seals" / "dt=2026-11-21" / seal.name)
    result = run("verify", "--folder", folder)
    assert result.exit_code == 1
    assert "Strange" in result.output
    seal.unlink()
    os.mkfifo(seal.with_name("edge-1-000000000010.json"))
    (seal.parent / "edge-1-000000000013.json").symlink_to("/etc/passwd")
    output = run("verify", "--folder", folder).output
    assert output.count("Strange") == 2, "a pipe and a link are not read"
    assert "several days" in output


def test_a_copy_without_bodies(folder: Path) -> None:
    shutil.rmtree(folder / "bodies")
    assert run("verify", "--folder", folder).exit_code == 1
    assert run("verify", "--folder", folder, "--without-bodies").exit_code == 0


def test_no_recordings_is_said(tmp_path: Path) -> None:
    for command in (("verify",), ("query", "SELECT 1")):
        error = failed(*command, "--state", tmp_path)
        assert isinstance(error, Unavailable)
        assert "--state" in error.advice


def test_query_prints_a_table_json_or_csv_and_lets_nothing_act_on_the_terminal(folder: Path) -> None:
    sql = "SELECT person, reason, rows FROM records WHERE person = $who"
    arguments = ("query", sql, "--folder", folder, "--param", "who=rob")
    table = run(*arguments)
    assert table.exit_code == 0, table.output
    assert "<U+001B>[2Jno" in table.output
    assert "NULL" in table.output
    found = run(*arguments, "--format", "json")
    assert json.loads(found.output) == [{"person": "rob", "reason": "\x1b[2Jno", "rows": None}]
    text = run(*arguments, "--format", "csv")
    assert list(csv.reader(io.StringIO(text.output))) == [["person", "reason", "rows"], ["rob", "<U+001B>[2Jno", ""]]
    assert "\x1b" not in table.output + found.output + text.output


def test_csv_runs_no_formula_in_a_spreadsheet(folder: Path) -> None:
    result = run("query", "SELECT '=1+1' AS a, '-2' AS b, -2 AS c, ['x'] AS d", "--folder", folder, "--format", "csv")
    assert list(csv.reader(io.StringIO(result.output)))[1] == ["'=1+1", "'-2", "-2", '["x"]']


def test_a_cut_answer_says_so(folder: Path) -> None:
    result = run("query", "SELECT seq FROM records", "--folder", folder, "--rows", "3")
    assert "Cut after 3 rows" in result.output


def test_query_refuses_and_teaches(folder: Path) -> None:
    assert isinstance(failed("query", "SELECT * FROM read_csv('/etc/passwd')", "--folder", folder), Refused)
    assert "caller" in failed("query", "SELECT caler FROM records", "--folder", folder).advice
    assert run("query", "SELECT 1", "--folder", folder, "--param", "who").exit_code == 2
    assert run("query", "SELECT 1", "--folder", folder, "--state", folder).exit_code == 2


def test_a_value_quoted_in_an_error_does_not_act_on_the_terminal(folder: Path) -> None:
    error = failed("query", "SELECT CAST(reason AS BIGINT) FROM records", "--folder", folder)
    assert "<U+001B>" in str(error)
    assert "\x1b" not in str(error)


def test_tables_prints_every_column() -> None:
    result = CliRunner().invoke(audit, ["tables"], env={"COLUMNS": "200"})
    for word in ("records", "seals", "in_transaction", "last_hash", "dt"):
        assert word in result.output
