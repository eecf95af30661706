"""Files of statements: cut as the server cuts them, and what no file can run is refused before anything is sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from twokeys.errors import InvalidInput
from twokeys_cli.migration import MAX_FILE_BYTES, Migration, read_migration


def read(folder: Path, text: str | bytes) -> Migration:
    path = folder / "migration.sql"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_migration(path)


def test_statements_are_cut_by_the_grammar_alone(tmp_path: Path) -> None:
    text = (
        "-- é; not one\nUPDATE t SET a = ';' ;\n/* ; */ CREATE FUNCTION f() RETURNS int LANGUAGE sql\n"
        "BEGIN ATOMIC SELECT 1; SELECT 2; END;\nINSERT INTO t VALUES ($$;$$)"
    )
    migration = read(tmp_path, text)
    assert [step.brief.split(" ")[0] for step in migration.steps] == ["UPDATE", "CREATE", "INSERT"]
    assert migration.steps[1].text.endswith(b"END")
    assert all(migration.text[step.start :].startswith(step.text) for step in migration.steps)
    assert migration.alone == ()


def test_an_errors_place_names_its_statement(tmp_path: Path) -> None:
    text = "UPDATE t SET a = 'é';\nUPDATE u SET b = 1;"
    migration = read(tmp_path, text)
    assert migration.step_at(1).number == 1
    assert migration.step_at(text.index("u SET") + 1).number == 2


def test_what_can_not_run_in_a_transaction_is_named(tmp_path: Path) -> None:
    migration = read(tmp_path, "CREATE TABLE x(a int); CREATE INDEX CONCURRENTLY i ON x(a); VACUUM x")
    assert [step.number for step in migration.alone] == [2, 3]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no statement"),
        ("-- nothing", "no statement"),
        ("BEGIN; UPDATE t SET a = 1; COMMIT", "transaction control .statement 1"),
        ("COPY t FROM STDIN", "standard input"),
        ("UPDATE t SET a = 1;\n\\i other.sql", "syntax error near line 2"),
        (b"SELECT '\xff'", "UTF-8"),
        ("-" * (MAX_FILE_BYTES + 1), "is over"),
    ],
)
def test_what_no_file_can_run_is_refused(tmp_path: Path, text: str | bytes, why: str) -> None:
    with pytest.raises(InvalidInput, match=why):
        read(tmp_path, text)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="can't be read"):
        read_migration(tmp_path / "none.sql")
