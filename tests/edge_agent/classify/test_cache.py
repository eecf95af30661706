from __future__ import annotations

from edge_agent.classify.cache import SqlClassifier
from edge_agent.classify.limits import SqlLimits
from edge_agent.classify.sql import classify_sql
from tests.edge_agent.classify import cases

PATH = ("public",)


def test_a_verdict_is_remembered_and_is_the_same() -> None:
    classifier = SqlClassifier()
    for text in (*cases.READS, *cases.WRITES, *cases.UNCERTAIN):
        first = classifier.classify(text.encode(), PATH)
        assert classifier.classify(text.encode(), PATH) is first
        assert first == classify_sql(text.encode(), PATH)


def test_texts_of_one_fingerprint_are_told_apart() -> None:
    classifier = SqlClassifier()
    assert classifier.classify(b"BEGIN READ ONLY", PATH).actions[0].read_only is True
    assert classifier.classify(b"BEGIN READ WRITE", PATH).actions[0].read_only is False
    assert classifier.classify(b"SELECT set_config('jit', 'off', false)", PATH).is_read
    assert not classifier.classify(b"SELECT set_config('role', 'off', false)", PATH).is_read


def test_the_search_path_is_part_of_the_key() -> None:
    classifier = SqlClassifier()
    names = [classifier.classify(b"TABLE t", path).classification.accesses[0].object.name for path in (("a",), ("b",))]
    assert names == ["a.t", "b.t"]


def test_the_least_recently_used_goes_first() -> None:
    classifier = SqlClassifier(SqlLimits(cache_entries=2))
    one = classifier.classify(b"SELECT $1", PATH)
    two = classifier.classify(b"SELECT $2", PATH)
    assert classifier.classify(b"SELECT $1", PATH) is one
    classifier.classify(b"SELECT $3", PATH)
    assert len(classifier) == 2
    assert classifier.classify(b"SELECT $1", PATH) is one
    assert classifier.classify(b"SELECT $2", PATH) is not two


def test_bytes_are_bounded() -> None:
    classifier = SqlClassifier(SqlLimits(cache_bytes=100, cache_text_bytes=60))
    for number in range(50):
        classifier.classify(b"SELECT %d" % number, PATH)
        assert classifier.remembered_bytes <= 100
    before = len(classifier)
    classifier.classify(b"SELECT '" + b"x" * 60 + b"'", PATH)
    assert len(classifier) == before
