"""What is counted for several workers is counted once, and the dead own nothing."""

from __future__ import annotations

from edge_agent.config import LimitsSection
from edge_agent.holds import Holds
from edge_agent.row_budget import RowBudgets
from edge_agent.workers import messages as say
from edge_agent.workers.desk import Desk

ONE, TWO = ("req_" + letter * 26 for letter in "ab")


class Polls:
    """What the one long poll was asked to watch."""

    def __init__(self) -> None:
        self.watched: list[str] = []


def desk(**limits: int) -> tuple[Desk, Holds, Polls]:
    polls = Polls()
    holds = Holds(LimitsSection(**limits), RowBudgets(lambda: 0.0))
    made = Desk(holds, polls.watched.append, polls.watched.remove)
    for worker in (1, 2):
        made.open(worker)
    return made, holds, polls


def test_a7_people_are_asked_about_so_many_commands_of_a_caller_over_all_workers() -> None:
    made, _, _ = desk(max_open_per_caller=2)
    assert made.take(1, say.Ask(1, "agent-7")) == say.Answer(1, 1)
    assert made.take(2, say.Ask(1, "agent-7")) == say.Answer(1, 1)
    assert made.take(2, say.Ask(2, "agent-7")) == say.Answer(2, 0)
    made.take(1, say.Answered("agent-7"))
    assert made.take(2, say.Ask(3, "agent-7")) == say.Answer(3, 1)


def test_a_worker_gives_back_only_what_it_took() -> None:
    made, holds, _ = desk()
    made.take(1, say.Ask(1, "agent-7"))
    made.take(2, say.Answered("agent-7"))
    assert holds.total == 1


def test_what_a_dead_worker_held_counts_no_more() -> None:
    made, holds, polls = desk()
    for worker in (1, 2):
        made.take(worker, say.Ask(1, "agent-7"))
        made.take(worker, say.Watch((ONE, TWO)[worker - 1], True))
    made.close(1)
    made.close(1)
    assert (holds.total, polls.watched) == (1, [TWO])
    assert (made.owned(ONE), made.owned(TWO)) == (False, True)


def test_a7_rows_of_a_budget_are_reserved_over_all_workers() -> None:
    made, _, _ = desk()
    assert made.take(1, say.Claim(1, "agent-7", "db", 10, 60)) == say.Answer(1, 10)
    assert made.take(2, say.Claim(1, "agent-7", "db", 10, 60)) == say.Answer(1, 0)
    made.take(2, say.Settle(1, 0))
    assert made.take(2, say.Claim(2, "agent-7", "db", 10, 60)) == say.Answer(2, 0), "another's reservation stays"
    made.take(1, say.Settle(1, 4))
    assert made.take(2, say.Claim(3, "agent-7", "db", 10, 60)) == say.Answer(3, 6)


def test_a7_what_a_dead_worker_had_reserved_stays_booked() -> None:
    made, _, _ = desk()
    made.take(1, say.Claim(1, "agent-7", "db", 10, 60))
    made.close(1)
    assert made.take(2, say.Claim(1, "agent-7", "db", 10, 60)) == say.Answer(1, 0)


def test_a_request_is_its_workers_own_until_that_dies_or_another_waits_for_it_too() -> None:
    made, _, polls = desk()
    made.take(1, say.Watch(ONE, True))
    made.take(1, say.Watch(ONE, True))
    made.take(1, say.Watch(ONE, False))
    assert (polls.watched, made.owned(ONE)) == ([], True)
    made.take(2, say.Watch(ONE, True))
    made.close(1)
    assert made.owned(ONE), "the second waits for it"
    made.take(2, say.Watch(ONE, False))
    made.open(1)
    made.take(1, say.Watch(ONE, True))
    made.take(1, say.Watch(ONE, False))
    made.close(1)
    assert not made.owned(ONE), "whoever died may have spent it"


def test_what_is_heard_is_answered() -> None:
    assert desk()[0].take(1, say.Heard(7)) == say.Answer(7, 1)
