"""The cases of the throughput bench: chosen by name, each name once, an unknown one said."""

from __future__ import annotations

import math

import pytest

from bench.pgbench import Case, Run, Total, milliseconds, without_connecting
from bench.throughput import ALL, CHOICE, HEAD, chosen, line


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
    run, connecting = Total(500.0, 2008, 0.45, 0.2, 0.5), Total(90.0, 8, 0.05, 3.0, 9.0)
    assert without_connecting(run, connecting) == pytest.approx(Run(500.0, 200.0, 0.2, 0.5))


def test_what_a_transaction_took_is_the_third_field_of_pgbenchs_log() -> None:
    assert milliseconds(["0 1 250 0 1700000000 12345\n", "3 9 1500 0 1700000001 1\n"]) == [0.25, 1.5]


def test_a_line_has_medians_and_ratios_and_cpu_above_the_relay_by_statement() -> None:
    runs = {
        "direct": [Run(900.0, math.nan, 0.1, 0.2)],
        "relay": [Run(800.0, 50.0, 0.2, 0.3)],
        "edge": [Run(rate, 550.0, 0.4, 0.9) for rate in (300.0, 400.0, 9000.0)],
    }
    found = line(Case("transaction", "prepared", 8, tls=True), runs).split()[:-1]
    assert found[1:8] == ["900", "800", "400", "nan", "0.44", "0.50", "nan"]
    assert found[8:] == ["0.20/0.30", "0.40/0.90", "nan/nan", "50.0", "550.0", "500.0", "100.0"]
    assert len(found) + 1 == len(HEAD[1].replace("a stmt", "a_stmt").split())
