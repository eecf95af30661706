"""What else happens when rows of a relation change, by the catalogue: triggers, rules, foreign keys, row security."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from edge_agent.preview.target import EVENTS, Target
from twokeys.preview import MAX_LINES, SideEffect

_RULE_EVENTS: Final = {"UPDATE": "2", "INSERT": "3", "DELETE": "4"}
"""pg_rewrite.ev_type."""

_ACTIONS: Final = {
    "c": "goes or changes with it (CASCADE)",
    "n": "has its column set to NULL (SET NULL)",
    "d": "has its column set to its default (SET DEFAULT)",
}
"""Actions of foreign keys that change other rows (pg_constraint.confdeltype, confupdtype)."""

_RELATIONS: Final = {
    "v": "It is a view: what it changes in other tables is not listed.",
    "f": "It is a foreign table: what happens on the other server is not known here.",
    "p": "It is partitioned: triggers of its partitions are not listed.",
}

BEFORE_TRIGGERS: Final = "Triggers that fire before each row may change the new values, or leave rows out."


def side_effects(target: Target, events: Iterable[str], assigned: Iterable[str]) -> list[SideEffect]:
    """What happens beside each INSERT, UPDATE, DELETE or TRUNCATE of `target`.

    Args:
        target: What the catalogue says of it.
        events: Which of these.
        assigned: Columns that get values.
    """
    columns = frozenset(assigned)
    found = (effect for event in events for effect in _all(target, event, columns))
    return list({(effect.kind, effect.name, effect.does): effect for effect in found}.values())[:MAX_LINES]


def _all(target: Target, event: str, assigned: frozenset[str]) -> Iterator[SideEffect]:
    for trigger in target.triggers:
        if trigger.fires_on(EVENTS.get(event, 0)):
            yield SideEffect(
                kind="trigger", name=trigger.name[:1024], does=f"calls {trigger.calls} {trigger.when}"[:1024]
            )
    for name, kind in target.rules:
        if kind == _RULE_EVENTS.get(event):
            yield SideEffect(kind="rule", name=name[:1024], does="rewrites the statement")
    for cascade in target.cascades:
        action = cascade.on_delete
        if event == "UPDATE":
            # Only a key that gets a value moves what refers to it; and only directly.
            action = cascade.on_update if cascade.level == 1 and cascade.columns & assigned else ""
        if event in ("DELETE", "UPDATE") and action in _ACTIONS:
            does = f"every row of {cascade.table} that refers to it {_ACTIONS[action]}"
            yield SideEffect(kind="cascade", name=cascade.name[:1024], does=does[:1024])
    if target.row_security:
        yield SideEffect(kind="policy", name=target.name[:1024], does="has row-level security: new rows may be refused")


def notes_on(target: Target, events: Iterable[str]) -> list[str]:
    """What the figures of a preview do not say, because of what the relation is."""
    found = [_RELATIONS[target.kind]] if target.kind in _RELATIONS else []
    bits = sum({EVENTS.get(event, 0) for event in events})
    if any(trigger.fires_on(bits) and trigger.when == "before each row" for trigger in target.triggers):
        found.append(BEFORE_TRIGGERS)
    return found
