"""The lock of each kind of statement is the one that PostgreSQL takes: the server itself is asked."""

from __future__ import annotations

import pytest

from edge_agent.classify.parser import parse
from edge_agent.preview.locks import BLOCKS, locks_of

STATEMENTS = {
    "alter table t add column x int": {"t": "ACCESS EXCLUSIVE"},
    "alter table t alter column a set statistics 10": {"t": "SHARE UPDATE EXCLUSIVE"},
    "alter table t alter column a set statistics 10, add column x int": {"t": "ACCESS EXCLUSIVE"},
    "alter table t set (fillfactor = 50)": {"t": "SHARE UPDATE EXCLUSIVE"},
    "alter table t set (autovacuum_enabled = off)": {"t": "SHARE UPDATE EXCLUSIVE"},
    "alter table t disable trigger all": {"t": "SHARE ROW EXCLUSIVE"},
    "alter table t add constraint k foreign key (a) references u (id)": {
        "t": "SHARE ROW EXCLUSIVE",
        "u": "SHARE ROW EXCLUSIVE",
    },
    "alter table t add column x int references u (id)": {"t": "ACCESS EXCLUSIVE", "u": "SHARE ROW EXCLUSIVE"},
    "alter table t drop column a": {"t": "ACCESS EXCLUSIVE"},
    "alter table t alter column a type bigint": {"t": "ACCESS EXCLUSIVE"},
    "alter table t alter column a set default 1": {"t": "ACCESS EXCLUSIVE"},
    "alter table t alter column a set not null": {"t": "ACCESS EXCLUSIVE"},
    "alter table t alter column a set storage plain": {"t": "ACCESS EXCLUSIVE"},
    "alter table t alter column a set (n_distinct = 5)": {"t": "SHARE UPDATE EXCLUSIVE"},
    "alter table t add constraint c check (a > 0)": {"t": "ACCESS EXCLUSIVE"},
    "alter table t add constraint c check (a > 0) not valid": {"t": "ACCESS EXCLUSIVE"},
    "alter table t add unique (a)": {"t": "ACCESS EXCLUSIVE"},
    "alter table t drop constraint t_pkey": {"t": "ACCESS EXCLUSIVE"},
    "alter table t validate constraint positive": {"t": "SHARE UPDATE EXCLUSIVE"},
    "alter table t cluster on t_pkey": {"t": "SHARE UPDATE EXCLUSIVE"},
    "alter table t set without cluster": {"t": "SHARE UPDATE EXCLUSIVE"},
    "alter table t reset (fillfactor)": {"t": "SHARE UPDATE EXCLUSIVE"},
    "alter table t set (toast.autovacuum_enabled = off)": {"t": "SHARE UPDATE EXCLUSIVE"},
    "alter table t enable trigger user": {"t": "SHARE ROW EXCLUSIVE"},
    "alter table t disable trigger user": {"t": "SHARE ROW EXCLUSIVE"},
    "alter table t enable row level security": {"t": "ACCESS EXCLUSIVE"},
    "alter table t force row level security": {"t": "ACCESS EXCLUSIVE"},
    "alter table t replica identity full": {"t": "ACCESS EXCLUSIVE"},
    "alter table t set unlogged": {"t": "ACCESS EXCLUSIVE"},
    "alter table t owner to current_user": {"t": "ACCESS EXCLUSIVE"},
    "alter table t rename column a to b": {"t": "ACCESS EXCLUSIVE"},
    "alter table t rename constraint positive to p": {"t": "ACCESS EXCLUSIVE"},
    "alter table p attach partition q default": {"p": "SHARE UPDATE EXCLUSIVE", "q": "ACCESS EXCLUSIVE"},
    "alter table p detach partition o": {"p": "ACCESS EXCLUSIVE", "o": "ACCESS EXCLUSIVE"},
    "create policy y on t using (true)": {"t": "ACCESS EXCLUSIVE"},
    "alter table t rename to v": {"t": "ACCESS EXCLUSIVE"},
    "create table w (a int references u (id))": {"u": "SHARE ROW EXCLUSIVE"},
    "create index on t (a)": {"t": "SHARE"},
    "create trigger g before update on t for each row execute function suppress_redundant_updates_trigger()": {
        "t": "SHARE ROW EXCLUSIVE"
    },
    "drop table t": {"t": "ACCESS EXCLUSIVE"},
    "truncate t": {"t": "ACCESS EXCLUSIVE"},
    "lock table t in share mode": {"t": "SHARE"},
    "lock table t": {"t": "ACCESS EXCLUSIVE"},
    "comment on table t is 'x'": {"t": "SHARE UPDATE EXCLUSIVE"},
    "reindex table t": {"t": "SHARE"},
    "cluster t using t_pkey": {"t": "ACCESS EXCLUSIVE"},
    "analyze t": {"t": "SHARE UPDATE EXCLUSIVE"},
    "refresh materialized view m": {"m": "ACCESS EXCLUSIVE"},
    "refresh materialized view concurrently m": {"m": "EXCLUSIVE"},
    "create rule r as on insert to t do nothing": {"t": "ACCESS EXCLUSIVE"},
}
"""Statements that can run in a transaction, so that the server's locks can be looked at before it ends."""

NOT_IN_A_TRANSACTION = {
    "create index concurrently on t (a)": {"t": "SHARE UPDATE EXCLUSIVE"},
    "reindex table concurrently t": {"t": "SHARE UPDATE EXCLUSIVE"},
    "reindex (concurrently off) table t": {"t": "SHARE"},
    "vacuum t": {"t": "SHARE UPDATE EXCLUSIVE"},
    "vacuum (full) t": {"t": "ACCESS EXCLUSIVE"},
    "vacuum (full false) s.t": {"s.t": "SHARE UPDATE EXCLUSIVE"},
    "drop index concurrently i": {"i": "SHARE UPDATE EXCLUSIVE"},
    "alter table t attach partition p default": {"t": "SHARE UPDATE EXCLUSIVE", "p": "ACCESS EXCLUSIVE"},
    "alter table t detach partition p concurrently": {"t": "SHARE UPDATE EXCLUSIVE", "p": "ACCESS EXCLUSIVE"},
    "create table w partition of t default": {"t": "ACCESS EXCLUSIVE"},
    "drop trigger g on s.t": {"s.t": "ACCESS EXCLUSIVE"},
    "alter table t set (user_catalog_table = on)": {"t": "ACCESS EXCLUSIVE"},
    "create role r": {},
    "create function f() returns int language sql as 'select 1'": {},
    "grant select on t to r": {},
}


def told(text: str) -> dict[str, str]:
    ((kind, node),) = parse(text.encode())[0]["stmt"].items()
    return {lock.on: lock.mode for lock in locks_of(kind, node)}


@pytest.mark.parametrize("text", [*STATEMENTS, *NOT_IN_A_TRANSACTION])
def test_the_mode_of_each_statement(text: str) -> None:
    assert told(text) == {**STATEMENTS, **NOT_IN_A_TRANSACTION}[text]


def test_every_mode_says_in_words_what_waits() -> None:
    assert len(BLOCKS) == 8
    assert all(words.endswith(".") for words in BLOCKS.values())
