"""What a session owes follows policies and tables; what came too late is not believed."""

from __future__ import annotations

from edge_agent.classify.sql import classify_sql
from edge_agent.mask.owed import Masks, Owed
from twokeys.data_class import DataClass, Detector

MAIL = (DataClass("mail", ("shop.t.email",)),)
LOOKED_FOR = (DataClass("mail", (), detect=(Detector.EMAIL,)),)
ROW = [b"1", b"shop", b"t", b"1", b"email", b"f", None, None, b"9"]


def of(masks: Masks, text: bytes) -> Owed | None:
    return masks.of(classify_sql(text, ("shop",)), text)


def asked(masks: Masks) -> None:
    masks.stale = False
    masks.learn([ROW])


def test_nothing_is_owed_where_policies_know_no_classes() -> None:
    masks = Masks(tuple)
    assert not masks.owes
    assert not masks.stale
    assert of(masks, b"SELECT 1 FROM t") is None
    assert not masks.look_again()


def test_only_what_touches_a_class_owes_once_the_server_has_told() -> None:
    masks = Masks(lambda: MAIL)
    assert masks.stale
    before = of(masks, b"SELECT 1 FROM orders")
    assert before is not None
    assert not before.columns.known
    asked(masks)
    assert of(masks, b"SELECT 1 FROM orders") is None
    assert of(masks, b"SELECT 1 FROM t") is not None


def test_an_answer_to_a_question_asked_before_something_moved_is_not_believed() -> None:
    masks = Masks(lambda: MAIL)
    masks.stale = False
    masks.forget()
    masks.learn([ROW])
    assert masks.stale
    assert not masks.columns.known


def test_other_policies_are_seen_at_once_and_told() -> None:
    classes: list[tuple[DataClass, ...]] = [()]
    masks = Masks(lambda: classes[0])
    told: list[bool] = []
    masks.changed = lambda: told.append(True)
    classes[0] = MAIL
    assert masks.owes
    assert masks.stale
    assert told == [True]


def test_detectors_alone_need_no_answer() -> None:
    masks = Masks(lambda: LOOKED_FOR)
    assert not masks.stale
    owed = of(masks, b"SELECT 1 FROM t")
    assert owed is not None
    assert not owed.touches
    assert owed.scan is not None
