"""Notes of what the database itself called a write."""

from __future__ import annotations

import pytest

from edge_agent.classify.sql import classify_sql
from edge_agent.witnessed import MAX_NOTES, Witnessed
from twokeys.effect import Effect

TEXT = b"SELECT * FROM shop.trap"
VERDICT = classify_sql(TEXT, ("shop",))


@pytest.mark.parametrize(
    ("message", "effect"),
    [
        ("cannot execute INSERT in a read-only transaction", Effect.WRITE),
        ("cannot execute nextval() in a read-only transaction", Effect.WRITE),
        ("cannot execute CREATE TABLE in a read-only transaction", Effect.DDL),
        ("kann INSERT nicht in einer Read-Only-Transaktion ausführen", Effect.PRIVILEGED),
        ("a function's own words", Effect.PRIVILEGED),
    ],
)
def test_what_the_server_names_decides_the_effect_and_the_whole_database_is_written(
    message: str, effect: Effect
) -> None:
    witnessed = Witnessed()
    witnessed.note(TEXT, message)
    found = witnessed.judged(TEXT, VERDICT).classification
    assert {access.effect for access in found.accesses} == {effect}
    assert [access.spelled.split(":", 1)[1] for access in found.accesses] == ["database:", "table:shop.trap"]
    assert found.reasons[0].startswith("the database says that this writes")
    assert "own words" not in found.reasons[0]


def test_a_note_is_of_these_bytes_alone_and_never_makes_a_verdict_better() -> None:
    witnessed = Witnessed()
    witnessed.note(TEXT, "cannot execute INSERT in a read-only transaction")
    other = TEXT + b" "
    assert witnessed.judged(other, classify_sql(other, ("shop",))).is_read
    drop = classify_sql(b"DROP TABLE shop.orders", ())
    witnessed.note(b"DROP TABLE shop.orders", "cannot execute INSERT in a read-only transaction")
    assert witnessed.judged(b"DROP TABLE shop.orders", drop) is drop


def test_notes_are_bounded_and_forgotten() -> None:
    witnessed = Witnessed()
    for number in range(MAX_NOTES + 5):
        witnessed.note(b"%d" % number, "")
    assert len(witnessed) == MAX_NOTES
    witnessed.note(TEXT, "")
    assert not witnessed.judged(TEXT, VERDICT).is_read
    witnessed.forget()
    assert witnessed.judged(TEXT, VERDICT) is VERDICT
