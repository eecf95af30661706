"""The cases of the throughput bench: chosen by name, each name once, an unknown one said."""

from __future__ import annotations

import pytest

from bench.throughput import ALL, CHOICE, Case, Run, Total, chosen, without_connecting


def test_each_case_has_a_name_of_its_own_and_is_chosen_by_it() -> None:
    assert [chosen(case.name) for case in ALL] == [[case] for case in ALL]


def test_names_say_work_mode_clients_and_transport() -> None:
    assert chosen("prepared-8,tpcb-simple-1-tls") == [
        Case("select", "prepared", 8, tls=False),
        Case("tpcb", "simple", 1, tls=True),
    ]


def test_without_a_name_the_usual_choice_is_measured_and_all_is_every_case() -> None:
    assert [case.name for case in chosen("")] == list(CHOICE)
    assert chosen("all") == ALL


def test_an_unknown_case_ends_the_bench_before_anything_starts() -> None:
    with pytest.raises(SystemExit, match="no case 'prepared-9'"):
        chosen("prepared-8,prepared-9")


def test_what_connecting_costs_is_not_counted() -> None:
    run, connecting = Total(500.0, 2008, 0.45), Total(90.0, 8, 0.05)
    assert without_connecting(run, connecting) == pytest.approx(Run(500.0, 200.0))
