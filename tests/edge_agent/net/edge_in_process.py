"""A listener in this process, before a real PostgreSQL, with a scripted control plane that signs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from edge_agent.classify.cache import SqlClassifier
from edge_agent.config import LimitsSection, PostgresSection, RecorderSection
from edge_agent.gate import Gate, Standing, World
from edge_agent.holds import Holds
from edge_agent.net import tls
from edge_agent.net.postgres_listener import Listener, ListenerParts
from edge_agent.net.postgres_relay import Cancelling, Surroundings
from edge_agent.net.postgres_start import Door
from edge_agent.net.secrets_manager import credential_of
from edge_agent.protocols.postgres.startup_rules import OidcUser, Plaintext, ScramUser, StartupRules
from edge_agent.protocols.postgres.upstream_rules import UpstreamRules
from edge_agent.recorder.bodies import SessionKey, WrappingKey
from edge_agent.recorder.journal import Journal, open_journal
from edge_agent.secret import Secret
from tests.support.postgres import RealPostgres
from twokeys.approval import TYPE, Approval
from twokeys.caller import Caller, CallerKind
from twokeys.digest import to_base64
from twokeys.errors import Unavailable
from twokeys.messages import OpenRequest, RequestStatus, ResultReport, SpendReply, SpendRequest
from twokeys.policy import STARTER_TEXT, Policies
from twokeys.record import ChainHead
from twokeys.signature import KeyRole, PublicKey, sign
from twokeys.verifier import mint_verifier

T = TypeVar("T")
PASSWORD = "sample-caller-credential-0123456789"
CALLER = Caller("agent-7", CallerKind.MACHINE, "ann")
KEY = ec.generate_private_key(ec.SECP256R1())
WRAPPING = rsa.generate_private_key(65537, 3072)


@dataclass
class ScriptedControl:
    """Decides as the test says; approves by default."""

    head: ChainHead = field(default_factory=lambda: ChainHead(0, "0" * 64))
    verdict: str = "approved"
    reason: str = ""
    dead: bool = False
    opened: list[OpenRequest] = field(default_factory=list)
    withdrawn: list[str] = field(default_factory=list)
    reports: list[ResultReport] = field(default_factory=list)
    arrived: threading.Event = field(default_factory=threading.Event)
    reported: threading.Event = field(default_factory=threading.Event)
    gone: threading.Event = field(default_factory=threading.Event)
    uploaded: list[bytes] = field(default_factory=list)
    """Commands too long to travel inline."""
    stop_at: str = ""
    """Moment at which a call waits for `go`: open (asked), opened (answered), spend or spent."""
    stopped: threading.Event = field(default_factory=threading.Event)
    go: threading.Event = field(default_factory=threading.Event)

    async def _moment(self, moment: str) -> None:
        if moment == self.stop_at:
            self.stopped.set()
            await asyncio.to_thread(self.go.wait, 20)

    async def open(self, request: OpenRequest) -> RequestStatus:
        if self.dead:
            raise Unavailable("The control plane can't be reached.", not_done="Nothing was run.")
        await self._moment("open")
        self.opened.append(request)
        await self._moment("opened")
        self.arrived.set()
        return RequestStatus(id=request.id, state="pending", seconds_left=30, asked=["rob"])

    async def look(self, request_id: str) -> RequestStatus:
        return RequestStatus(id=request_id, state=self.verdict, reason=self.reason, decided_by=["rob"])

    async def until_moved(self, request_id: str, seconds: float) -> bool:
        if self.verdict == "pending":
            await asyncio.sleep(seconds)
            return False
        return True

    async def spend(self, request_id: str, request: SpendRequest) -> tuple[SpendReply, ChainHead]:
        await self._moment("spend")
        opened = next(one for one in self.opened if one.id == request_id)
        paper = Approval(
            request_id,
            "edge-1",
            request.nonce,
            request.command_digest,
            opened.requirement,
            ("rob",),
            self.head.sequence,
            self.head.hash,
            opened.preview_digest,
            opened.most_rows,
        )
        signature = sign(TYPE, paper.to_json(), KEY)
        reply = SpendReply(
            approval=dict(paper.to_json()), key_id=signature.key_id, signature=to_base64(signature.value)
        )
        await self._moment("spent")
        return reply, self.head

    async def upload_command(self, data: bytes) -> None:
        self.uploaded.append(data)

    def leave(self, request_id: str) -> None:
        self.gone.set()

    def later_withdraw(self, request_id: str, reason: str) -> None:
        self.withdrawn.append(request_id)
        self.gone.set()

    def later_report(self, request_id: str, report: ResultReport) -> None:
        self.reports.append(report)
        self.reported.set()


class OneCaller:
    """A directory with agent-7 in it."""

    def lookup(self, user: str) -> ScramUser | OidcUser | None:
        if user != CALLER.id:
            return None
        return ScramUser(mint_verifier(PASSWORD, b"0123456789abcdef"), CALLER)


@dataclass
class InProcessEdge:
    """The running listener."""

    port: int
    control: ScriptedControl
    gate: Gate
    journal: Journal
    postgres: RealPostgres
    loop: asyncio.AbstractEventLoop

    @property
    def dsn(self) -> str:
        return (
            f"host=127.0.0.1 port={self.port} dbname={self.postgres.database} user={CALLER.id} "
            f"password={PASSWORD} sslmode=disable"
        )

    def enter(self, policies: str, revision: int) -> None:
        """Another policy is in force from now on."""
        self.gate.enter(world(policies, revision))


def world(policies: str, revision: int) -> World:
    der = KEY.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    key = PublicKey.from_der(der, KeyRole.APPROVAL)
    return World("edge-1", revision, Policies(policies, revision), {key.key_id: key})


@contextmanager
def edge_in_process(
    folder: Path,
    postgres: RealPostgres,
    policies: str = STARTER_TEXT,
    limits: LimitsSection | None = None,
    **settings: Any,
) -> Iterator[InProcessEdge]:
    """Run a listener in a thread of its own until the block ends; `settings` are more of its PostgresSection."""
    control = ScriptedControl()
    gate = Gate()
    gate.stand(Standing())
    gate.enter(world(policies, 1))
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def do(work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, loop).result(30)

    async def build() -> tuple[Listener, Journal, int]:
        journal = open_journal(
            folder / "journal",
            "edge-1",
            RecorderSection(low_disk_bytes=2, exhausted_disk_bytes=1),
            lambda: 1_795_379_462_000,
        )
        listener = Listener(parts(postgres, gate, control, journal, limits or LimitsSection(), **settings))
        return listener, journal, await listener.open()

    listener, journal, port = do(build())
    try:
        yield InProcessEdge(port, control, gate, journal, postgres, loop)
    finally:
        do(listener.close("the test is over"))
        do(journal.close())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def parts(
    postgres: RealPostgres,
    gate: Gate,
    control: ScriptedControl,
    journal: Journal,
    limits: LimitsSection,
    **settings: Any,
) -> ListenerParts:
    given: dict[str, Any] = {
        "target": "sample-db",
        "listen_port": 0,
        "upstream_host": "127.0.0.1",
        "upstream_port": postgres.port,
        "upstream_user": postgres.user,
        "upstream_password": Secret(postgres.password),
        "upstream_database": postgres.database,
        "search_path": "shop, public",
        "hold_seconds": 30,
        "in_transaction_hold_seconds": 20,
        "heartbeat_seconds": 1,
    }
    section = PostgresSection(**{**given, **settings})
    server_tls, client_tls = tls.server_context(section), tls.client_context(section)
    rules = StartupRules(
        "sample-db", server_tls is not None, b"m" * 32, tls.server_binding(section), Plaintext.LOOPBACK,
        postgres.database, schemas=("shop", "public"),
    )  # fmt: skip
    upstream = UpstreamRules(
        user=section.upstream_user, password=section.upstream_password.reveal(), tls=client_tls is not None,
        search_path="shop, public", require_binding=section.upstream_require_binding,
        by_certificate=section.upstream_cert_file is not None,
    )  # fmt: skip
    wrapping = WrappingKey("w1", WRAPPING.public_key())
    holds = Holds(limits)

    def surroundings(cancel: Cancelling) -> Surroundings:
        return Surroundings(gate, control, holds, section, cancel, message_seconds=limits.message_seconds)

    return ListenerParts(
        Door(
            section, rules, upstream, server_tls, client_tls, tls.direct_context(section), credential_of(section, print)
        ),
        limits,
        journal,
        SqlClassifier(),
        OneCaller,
        lambda session: SessionKey(session, wrapping),
        lambda: 1_795_379_462,
        gate,
        surroundings,
    )
