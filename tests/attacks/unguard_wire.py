"""Guards of the wire, of a text's bytes and of what waits: each is taken away here, for `unguard`."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, Final

from edge_agent import door as session_door
from edge_agent import hold
from edge_agent.classify import findings, normalise, settings, sql, statements
from edge_agent.gate import Gate, Pass
from edge_agent.net import postgres_copy, postgres_listener
from edge_agent.protocols.postgres import (
    direct,
    door,
    events,
    framing,
    link,
    messages,
    parameters,
    places,
    startup,
    steps,
    write_step,
)
from twokeys.command import PostgresCommand
from twokeys.decision import Outcome
from twokeys.digest import Json

_splitter, _classify, _to_json = framing.Splitter.__init__, sql.classify_sql, PostgresCommand.to_json
_setting, _locks = parameters._setting, write_step._ask_fingerprint_and_locks
_refusal, _route, _redeem = door._refusal, door._route, Gate.redeem


def _swap(where: object, name: str, instead: object) -> None:
    setattr(where, name, instead)


def _lengths() -> None:
    def init(self: framing.Splitter, limits: Sequence[int], streamed: bytes = b"") -> None:
        _splitter(self, [2**33] * len(limits), streamed)

    _swap(framing.Splitter, "__init__", init)


def _bodies() -> None:
    _swap(messages, "malformed", lambda what: None)


def _early_bytes() -> None:
    def read_first(self: startup.Startup, data: bytes) -> Any:
        self._packet += data
        length = int.from_bytes(self._packet[:4], "big")
        packet = bytes(self._packet[:length])
        del self._packet[:length]
        return self._act_on(messages.read_first(packet))

    _swap(startup.Startup, "_read_first", read_first)


def _replication() -> None:
    def setting(name: str, value: str, settings: dict[str, str], schemas: tuple[str, ...]) -> None:
        if name.casefold() != "replication":
            _setting(name, value, settings, schemas)

    _swap(parameters, "_setting", setting)


def _keys() -> None:
    _swap(postgres_listener, "hmac", SimpleNamespace(compare_digest=lambda *keys: True, new=hmac.new))


def _copy_digest() -> None:
    class Whatever(str):
        __slots__ = ()
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            return True

    sums = SimpleNamespace(update=lambda data: None, hexdigest=Whatever)
    _swap(postgres_copy, "hashlib", SimpleNamespace(sha256=lambda data=b"": sums))


def _staging() -> None:
    def staged(core: Any, job: Any) -> Generator[Any, Any, Any]:
        yield from ()
        return job

    _swap(write_step, "staged", staged)


def _bound_data() -> None:
    def to_json(self: PostgresCommand) -> Json:
        return _to_json(replace(self, copy=None))

    _swap(PostgresCommand, "to_json", to_json)


def _short_hold() -> None:
    def held(ticket: int, command: Any, judgement: Any, in_transaction: bool, *rest: Any) -> events.Held:
        return events.Held(ticket, command, judgement, False, *rest)

    _swap(write_step, "Held", held)


def _told_locks() -> None:
    def ask(core: Any) -> Generator[Any, Any, Any]:
        found = yield from _locks(core)
        return None if found is None else (found[0], ())

    _swap(write_step, "_ask_fingerprint_and_locks", ask)


def _bytes_of_text() -> None:
    def classify(text: bytes, *rest: Any) -> sql.SqlVerdict:
        return _classify(text.partition(b"\0")[0].decode("utf-8", "replace").encode(), *rest)

    _swap(sql, "classify_sql", classify)


def _whole_text() -> None:
    def classify(text: bytes, *rest: Any) -> sql.SqlVerdict:
        return _classify(text[:1000].rpartition(b" ")[0] or text, *rest)

    _swap(sql, "classify_sql", classify)


def _spelled_out() -> None:
    for where in (findings, normalise):
        _swap(where, "visible", lambda text: text)


def _depth() -> None:
    _swap(sql, "check_depth", lambda text, limits: None)


def _one_at_a_time() -> None:
    def refusal(verdict: sql.SqlVerdict) -> tuple[str, str]:
        found = _refusal(verdict)
        return ("", "") if "mixes transaction control" in found[1] else found

    def route(verdict: sql.SqlVerdict, decision: Any, *, refused: bool) -> door.Route:
        found = _route(verdict, decision, refused=refused)
        return door.Route.STEP if found in (door.Route.REFUSED, door.Route.MIXED) and not refused else found

    _swap(door, "_refusal", refusal)
    _swap(door, "_route", route)


def _reserved() -> None:
    _swap(statements, "RESERVED_PREFIX", "\0")
    _swap(steps, "RESERVED_PREFIX", "\0")


def _listed_settings() -> None:
    _swap(parameters, "_setting", lambda name, value, settings, schemas: settings.update({name: value}))


def _same_meaning() -> None:
    _swap(hold, "command_digest", lambda command, setting: "0" * 64)


def _decided_again() -> None:
    def redeem(self: Gate, expected: Any, approval: Any, signature: Any, again: Any) -> Pass:
        return _redeem(self, expected, approval, signature, replace(again, outcome=Outcome.ALLOW))

    _swap(Gate, "redeem", redeem)


def _most_rows() -> None:
    _swap(places, "exceeds", lambda permission, done: False)


def _hidden_names() -> None:
    for where in (link, write_step, statements):
        _swap(where, "hides_builtins", lambda search_path: False)


def _narrowed() -> None:
    for where in (settings, statements, session_door):
        _swap(where, "narrows", lambda schemas, path: True)


def _direct() -> None:
    _swap(direct.DirectProof, "_proven", lambda self, rest: self._ready)


WIRE_GUARDS: Final[dict[str, Callable[[], None]]] = {
    "lengths are refused at the header": _lengths,
    "bodies are read to their last byte": _bodies,
    "nothing may come before an answer": _early_bytes,
    "the refusal of replication": _replication,
    "the key of a cancel": _keys,
    "staged data are digested again": _copy_digest,
    "data are taken before people are asked": _staging,
    "a Command's digest covers its data": _bound_data,
    "a hold in a transaction is shorter": _short_hold,
    "people are told of locks": _told_locks,
    "a text is UTF-8 without NUL": _bytes_of_text,
    "a text is judged to its end": _whole_text,
    "what is invisible is spelled out": _spelled_out,
    "depth is checked before parsing": _depth,
    "transaction control comes with reads alone": _one_at_a_time,
    "savepoints of the Edge's own": _reserved,
    "settings of a start-up are listed": _listed_settings,
    "the session's meaning is compared again": _same_meaning,
    "built-in names are not hidden": _hidden_names,
    "a search path is narrowed alone": _narrowed,
    "the server itself answers": _direct,
    "policy decides again after approval": _decided_again,
    "no more rows than were approved": _most_rows,
}
