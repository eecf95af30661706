"""A Preview is made of whatever text, and of whatever a session answers: what fails says so."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.classify.sql import classify_sql
from edge_agent.preview.clauses import NotRewritten
from edge_agent.preview.compute import Computing
from edge_agent.preview.limits import PreviewLimits
from edge_agent.preview.masking import ShowAll
from edge_agent.preview.question import Answered, Question
from edge_agent.preview.statement import read_statement, rewrite
from tests.edge_agent.classify import cases
from twokeys.command import PostgresCommand, QueryProtocol
from twokeys.preview import Preview, read_preview, to_bytes


@dataclass
class Session:
    """Answers every question alike, and remembers them."""

    answer: Answered
    asked: list[Question] = field(default_factory=list)

    async def ask(self, question: Question) -> Answered:
        self.asked.append(question)
        return self.answer


NOBODY = Answered(reason="nobody is there")


def preview(text: bytes, answer: Answered = NOBODY) -> Preview:
    command = PostgresCommand(QueryProtocol.SIMPLE, text)
    made = asyncio.run(Computing(Session(answer), ShowAll()).preview(command, "UPDATE"))
    assert read_preview(to_bytes(made)).action == "UPDATE"
    return made


def texts() -> list[str]:
    """All texts of the classifier's tables."""
    groups = [group for group in vars(cases).values() if isinstance(group, dict | list | tuple)]
    found = (one[0] if isinstance(one, tuple) else one for group in groups for one in group)
    return sorted({one for one in found if isinstance(one, str)})


TEXTS = texts()


def test_there_are_texts_to_try() -> None:
    assert len(TEXTS) > 200


@pytest.mark.parametrize(
    "answer", [Answered(reason="no"), Answered(), Answered(((None,),)), Answered((("{}",), ("x",)))]
)
def test_every_text_of_the_classifiers_cases_has_a_preview(answer: Answered) -> None:
    for text in TEXTS:
        preview(text.encode(), answer)


@given(st.text(alphabet="updatesetwhrfromcaind(),=*$1'\" ;-\n", max_size=80))
def test_any_text_has_a_preview(text: str) -> None:
    preview(text.encode())
    preview(b"update t set a = " + text.encode())
    preview(b"delete from t where " + text.encode())


WORDS = [
    "a",
    "=",
    "1",
    "(",
    ")",
    ",",
    "case",
    "when",
    "then",
    "end",
    "is distinct from",
    "from",
    "where",
    "and",
    "returning",
    "select",
    "default",
    "set",
    "'x'",
    "[1]",
    ".b",
    "union",
    "limit 1",
    "for update",
    "into u",
    "group by a",
    "having",
]


@given(st.lists(st.sampled_from(WORDS), max_size=14))
def test_what_is_rewritten_reads_as_nothing_but_a_select(words: list[str]) -> None:
    for head in ("update t set a = ", "delete from t where ", "insert into t select ", "insert into t values ("):
        text = (head + " ".join(words)).encode()
        try:
            rewriting = rewrite(read_statement(text, PreviewLimits()))
            sql = rewriting.count_sql()
        except NotRewritten:
            continue
        assert classify_sql(sql, ("public",)).classification.kind == "SELECT", sql


def test_an_answer_that_is_something_else_is_no_preview() -> None:
    for rows in ((("[]",),), (("null",),), ((None,),), ((),), (('{"schema": 1}',),)):
        made = preview(b"update t set a = 1", Answered(rows))
        assert made.rows is None and made.why


def test_each_question_says_whose_words_it_holds() -> None:
    session = Session(Answered(reason="no"))
    asyncio.run(
        Computing(session, ShowAll()).preview(PostgresCommand(QueryProtocol.SIMPLE, b"delete from t"), "DELETE")
    )
    assert [question.of_caller for question in session.asked] == [False]
