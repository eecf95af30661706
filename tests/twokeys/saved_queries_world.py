"""Two months of a small deployment, as its Edges and its control plane record them, with cases to be found.

Every header has the fields that the code writes (edge_agent/session_records.py, edge_agent/hold.py,
control_plane/chalicelib/services/notes.py); what happens around the planted cases is random, with a fixed seed.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.twokeys.recording import Recording, store
from twokeys.digest import sha256

START = datetime(2026, 10, 1, tzinfo=UTC)
CONTROL = "control-plane"

Header = Mapping[str, Any]


def iso(at: datetime) -> str:
    """As records have it."""
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True)
class Who:
    """A caller in a session at an Edge."""

    caller: str
    sponsor: str
    session: str
    edge: str = "edge-db-1"
    target: str = "prod-db"

    @property
    def header(self) -> dict[str, Any]:
        kind = "machine" if self.sponsor else "person"
        shown = {"session": self.session, "target": self.target, "database": "shop", "caller": self.caller,
                 "caller_kind": kind, "client": "psql"}  # fmt: skip
        return shown | ({"sponsor": self.sponsor} if self.sponsor else {})


@dataclass
class World:
    """Everything that was recorded, by source."""

    told: dict[str, list[tuple[datetime, Header]]] = field(default_factory=dict)
    count: int = 0

    def say(self, source: str, at: datetime, kind: str, /, **fields: Any) -> None:
        """One Record."""
        self.told.setdefault(source, []).append((at, {"type": kind, "time": iso(at), **fields}))

    def session(self, who: Who, at: datetime, seconds: int | None = 600) -> None:
        self.say(who.edge, at, "session_start", **who.header, reason="from 10.0.0.7")
        if seconds is not None:
            self.say(who.edge, at + timedelta(seconds=seconds), "session_end", **who.header, reason="the client left")

    def read(self, who: Who, at: datetime, table: str = "public.orders", masked: tuple[str, ...] = ()) -> None:
        facts = self.facts("SELECT", "read", table) | ({"masked": list(masked)} if masked else {})
        self.say(who.edge, at, "command", **who.header, **facts, outcome="allow")

    def facts(self, kind: str, effect: str, table: str) -> dict[str, Any]:
        statement = f"{kind} {table} $1"
        return {"kind": kind, "effect": effect, "statement": statement, "objects": [f"{effect}:table:{table}"],
                "text_digest": sha256(statement.encode()), "policies": [f"hold-{effect}"], "bundle": 3,
                "in_transaction": False}  # fmt: skip

    def allowed(self, who: Who, at: datetime, table: str) -> None:
        """A write that policy allows outright."""
        facts = {**who.header, **self.facts("INSERT", "write", table), "policies": ["allow-staging"]}
        self.say(who.edge, at, "forward", **facts, outcome="allow")
        self.say(who.edge, at + timedelta(milliseconds=5), "result", **facts, outcome="done", rows=1,
                 forward_seq=0)  # fmt: skip

    def declined(self, who: Who, at: datetime, table: str) -> None:
        """Denied by policy at once."""
        facts = {**who.header, **self.facts("DROP TABLE", "ddl", table)}
        self.say(who.edge, at, "refused", **facts | {"outcome": "deny", "reason": "no policy", "sqlstate": "42501"})

    def held(
        self, who: Who, at: datetime, table: str = "public.orders", *, by: str = "rob", took: float = 90.0,
        looked: float | None = 40.0, end: str = "done", kind: str = "UPDATE", effect: str = "write",
    ) -> str:  # fmt: skip
        """A held write: `end` is how it ended; `took` the seconds until the decision, `looked` until `by` read it."""
        self.count += 1
        request = f"req_{self.count:06d}"
        facts = {**who.header, **self.facts(kind, effect, table), "request": request}
        asked = {**facts, "policy_revision": 3, "command_digest": sha256(request.encode())}
        decided = at + timedelta(seconds=took)
        self.say(who.edge, at, "hold", **facts, outcome="hold", command_digest=asked["command_digest"])
        self.say(CONTROL, at + timedelta(milliseconds=40), "open", **asked, outcome="pending")
        if looked is not None:
            self.say(CONTROL, at + timedelta(seconds=looked), "body_read", **asked, person=by)
        match end:
            case "denied":
                self.say(CONTROL, decided, "decision", **asked, outcome="denied", person=by, reason="not today")
            case "expired":
                self.say(CONTROL, decided, "decision", **asked, outcome="expired", reason="Nobody decided in time.")
            case "withdrawn":
                self.say(CONTROL, decided, "end", **asked, outcome="withdrawn", reason="the client left")
            case _:
                self.say(CONTROL, decided, "decision", **asked, outcome="approved", person=by)
                self._spent(who, asked, facts, decided, by, end)
                return request
        word = {"approvers": [by]} if end == "denied" else {}
        self.say(who.edge, decided + timedelta(milliseconds=30), "decision", **facts, outcome=end, **word)
        return request

    def _spent(self, who: Who, asked: Header, facts: Header, at: datetime, by: str, end: str) -> None:
        self.say(who.edge, at + timedelta(milliseconds=30), "decision", **facts, outcome="approved", approvers=[by])
        if end == "lapsed":
            self.say(CONTROL, at + timedelta(seconds=60), "end", **asked, outcome="lapsed",
                     reason="The approval was not used in time.")  # fmt: skip
            return
        self.say(CONTROL, at + timedelta(milliseconds=60), "spend", **asked, outcome="spending", approvers=[by],
                 xid="771")  # fmt: skip
        self.say(who.edge, at + timedelta(milliseconds=50), "spend_intent", **facts, xid="771")
        self.say(who.edge, at + timedelta(milliseconds=90), "forward", **facts, approvers=[by], xid="771")
        if end in ("in_doubt", "settled"):
            late = at + timedelta(seconds=120)
            self.say(CONTROL, late, "result", **asked, outcome="in_doubt", reason="The edge did not report in time.",
                     xid="771")  # fmt: skip
            if end == "settled":
                self.say(CONTROL, late + timedelta(hours=1), "settlement", **asked, outcome="done", person="ann",
                         reason="The row is there.")  # fmt: skip
            return
        self.say(who.edge, at + timedelta(milliseconds=120), "result", **facts, outcome=end, approvers=[by], rows=3)
        self.say(CONTROL, at + timedelta(milliseconds=150), "result", **asked, outcome=end, rows=3, xid="771")

    def store(self, folder: Path, without: frozenset[tuple[str, int]] = frozenset()) -> Path:
        """Seal it day by day; Records in `without` (source, sequence) are left out of the stored lines."""
        made = []
        for source, told in sorted(self.told.items()):
            recording = Recording(source)
            days: dict[str, list[tuple[Header, bytes]]] = {}
            for at, header in _numbered(sorted(told, key=lambda one: one[0])):
                # Sealed within minutes, so what is recorded shortly before midnight lies in the next day.
                days.setdefault(iso(at + timedelta(minutes=10))[:10], []).append((header, b""))
            for day, entries in days.items():
                recording.day = day
                kept: list[tuple[Header, bytes]] = []
                for entry in entries:
                    if (source, recording.head.sequence + len(kept) + 1) in without:
                        if kept:
                            recording.add(kept)
                        recording.head = type(recording.head)(recording.head.sequence + 1, recording.head.hash)
                        kept = []
                        continue
                    kept.append(entry)
                if kept:
                    recording.add(kept)
            made.append(recording)
        return store(folder, *made)


def _numbered(told: list[tuple[datetime, Header]]) -> list[tuple[datetime, Header]]:
    """The same, where results say the sequence of their forward."""
    forwards: dict[tuple[str, str], int] = {}
    done = []
    for seq, (at, header) in enumerate(told, 1):
        of = header.get("session", ""), header.get("text_digest", "")
        if header["type"] == "forward":
            forwards[of] = seq
        done.append((at, {**header, "forward_seq": forwards[of]} if header.get("forward_seq") == 0 else header))
    return done


def noise(world: World, days: int = 30, seed: int = 7) -> None:
    """Ordinary traffic in `public.noise`: readers, held writes of every ending, refusals."""
    chance = random.Random(seed)
    callers = [Who("bot-a", "ann", "", "edge-db-1"), Who("bot-b", "ann", "", "edge-db-2", "stage-db")]
    for day in range(days):
        for caller in callers:
            at = START + timedelta(days=day, hours=chance.randrange(1, 22), minutes=chance.randrange(60))
            who = Who(caller.caller, caller.sponsor, f"ses_{caller.caller}_{day:02d}", caller.edge, caller.target)
            world.session(who, at)
            for number in range(chance.randrange(1, 5)):
                world.read(who, at + timedelta(seconds=1 + number), "public.noise")
            if chance.random() < 0.4:
                end = chance.choice(["done", "failed", "denied", "expired", "withdrawn", "lapsed"])
                world.held(who, at + timedelta(seconds=20), "public.noise", end=end, took=60 + chance.randrange(200))
            if chance.random() < 0.1:
                world.declined(who, at + timedelta(seconds=12), "public.noise")
