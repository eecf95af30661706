"""How each column of a result is shown: unknown origin is redacted, what can't be masked in its format is NULL."""

from __future__ import annotations

from dataclasses import dataclass

from edge_agent.mask.columns import NOTHING_KNOWN, Columns
from edge_agent.mask.detect import Scan
from edge_agent.mask.lineage import Cleared
from edge_agent.mask.plan import plan_of
from edge_agent.mask.rows import NULL, PARTIAL, REDACT, SHOW
from tests.edge_agent.mask.test_rows import data_row
from twokeys.data_class import Detector, Form

TEXT, INT, JSONB, UNKNOWN_TYPE = 25, 23, 3802, 99_999
COLUMNS = Columns(True, {(7, 1): None, (7, 2): Form.PARTIAL, (7, 3): Form.NULL, (7, 4): Form.HASH}, newest=100)


@dataclass(frozen=True)
class Described:
    table: int
    attribute: int
    type: int = TEXT
    format: int = 0


def ways(*described: Described, touches: bool = True, **more: object) -> bytes:
    return plan_of(described, COLUMNS, b"", touches=touches, **more).ways  # type: ignore[arg-type]


def test_a_column_is_shown_by_where_it_comes_from() -> None:
    assert ways(Described(7, 1), Described(7, 2), Described(7, 3), Described(8, 1)) == bytes(
        (SHOW, PARTIAL, NULL, SHOW)
    )


def test_what_comes_from_no_column_or_a_newer_table_is_redacted() -> None:
    assert ways(Described(0, 0), Described(7, 0), Described(101, 1), Described(7, 9)) == bytes((REDACT,) * 4)
    assert ways(Described(0, 0, INT)) == bytes((NULL,))


def test_only_text_can_be_anything_but_null() -> None:
    masked = (Described(7, 2, INT), Described(7, 2, 2950, 1), Described(7, 2, UNKNOWN_TYPE), Described(7, 2, TEXT, 1))
    assert ways(*masked) == bytes((NULL, NULL, NULL, PARTIAL))


def test_what_is_proven_is_shown_where_the_proof_fits_the_result() -> None:
    assert ways(Described(0, 0, INT), cleared=Cleared((True,))) == bytes((SHOW,))
    assert ways(Described(0, 0, INT), cleared=Cleared((True, True))) == bytes((NULL,))
    assert ways(Described(0, 0), Described(7, 1), Described(0, 0), cleared=Cleared((True,), (True,))) == bytes(3)


def test_what_comes_from_a_column_is_masked_whatever_was_proven() -> None:
    assert ways(Described(7, 2), cleared=Cleared((True,))) == bytes((PARTIAL,))


def test_a_text_that_touches_nothing_is_shown() -> None:
    assert ways(Described(0, 0), Described(7, 2), touches=False) == bytes((SHOW, SHOW))


def test_where_nothing_is_known_nothing_is_shown() -> None:
    plan = plan_of([Described(7, 1), Described(8, 1)], NOTHING_KNOWN, b"", touches=True)
    assert plan.mask(data_row([b"a", b"b"])) == data_row([b"***", b"***"])


def test_rows_are_masked_and_searched() -> None:
    described = [Described(7, 1), Described(7, 2), Described(7, 3), Described(0, 0, JSONB, 1), Described(0, 0, INT)]
    plan = plan_of(
        described,
        COLUMNS,
        b"",
        touches=True,
        cleared=Cleared((False, False, False, True, True)),
        scan=Scan([Detector.EMAIL]),
    )
    row = data_row([b"to ann@example.com", b"ann@example.com", b"x", b"\1ann@example.com", b"\0\0\0\7"])
    assert plan.mask(row) == data_row([b"to ***", b"a***@example.com", None, None, b"\0\0\0\7"])


def test_m1_an_escape_in_json_within_a_text_or_an_array_hides_nothing() -> None:
    json_array = 199
    described = [
        Described(0, 0, TEXT),
        Described(0, 0, json_array),
        Described(0, 0, json_array, 1),
        Described(0, 0, TEXT),
    ]
    cleared = Cleared((True,) * 4)
    plan = plan_of(described, COLUMNS, b"", touches=True, cleared=cleared, scan=Scan([Detector.EMAIL]))
    once, twice = rb'{"m": "ann\u0040example.com"}', rb'{"{\"m\": \"ann\\u0040example.com\"}"}'
    assert plan.mask(data_row([once, twice, b"\0\0\0\1" + once, rb"C:\users"])) == data_row(
        [None, None, None, rb"C:\users"]
    )
