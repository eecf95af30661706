"""Windows of rows: whatever the order, no window ever holds more rows than the budget."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from edge_agent.row_budget import MAX_IDLE_CALLERS, RowBudgets
from twokeys.decision import RowBudget

BUDGET = RowBudget(10, 60)


class Time:
    """Monotonic seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a7_what_runs_beside_a_reservation_has_nothing_left() -> None:
    budgets = RowBudgets(Time())
    first = budgets.reserve("agent-7", "db", BUDGET)
    assert first is not None and first.rows == 10
    assert budgets.reserve("agent-7", "db", BUDGET) is None
    assert budgets.reserve("agent-7", "other", BUDGET) is not None
    assert budgets.reserve("ci-deploy", "db", BUDGET) is not None
    budgets.settle(first, 4)
    second = budgets.reserve("agent-7", "db", BUDGET)
    assert second is not None and second.rows == 6
    budgets.settle(second, 0)
    third = budgets.reserve("agent-7", "db", RowBudget(5, 60))
    assert third is not None and third.rows == 1, "one window over all policies"


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 12)), max_size=60))
def test_a7_no_window_holds_more_than_the_budget(steps: list[tuple[int, int]]) -> None:
    time, kept = Time(), list[tuple[float, int]]()
    budgets = RowBudgets(time)
    for pause, wanted in steps:
        time.now += pause
        booking = budgets.reserve("agent-7", "db", BUDGET)
        if booking is None:
            continue
        rows = wanted if wanted <= booking.rows else 0
        budgets.settle(booking, rows)
        kept.append((time.now, rows))
        assert sum(rows for at, rows in kept if at > time.now - 3600) <= 10


def test_callers_without_bookings_are_forgotten() -> None:
    time = Time()
    budgets = RowBudgets(time)
    for number in range(MAX_IDLE_CALLERS * 2):
        booking = budgets.reserve(f"caller-{number}", "db", BUDGET)
        assert booking is not None
        budgets.settle(booking, 0)
    assert len(budgets._booked) <= MAX_IDLE_CALLERS + 1
