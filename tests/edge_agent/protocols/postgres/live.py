"""A tiny shell around the session core, between real clients and a real server; threads, blocking sockets."""

from __future__ import annotations

import contextlib
import secrets
import selectors
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from edge_agent.protocols.postgres import encode
from edge_agent.protocols.postgres.events import (
    Allowed,
    Deny,
    Effect,
    Fingerprint,
    ForwardCancel,
    Forwarded,
    Held,
    KeepRecords,
    NotPrepared,
    Prepared,
    Terminate,
)
from edge_agent.protocols.postgres.greeting import greeting
from edge_agent.protocols.postgres.messages import CancelRequest, SSLRequest, StartupMessage, read_first
from edge_agent.protocols.postgres.parameters import requested
from edge_agent.protocols.postgres.pipeline import SessionLimits
from edge_agent.protocols.postgres.session import Session
from edge_agent.protocols.postgres.upstream_auth import UpstreamLogin
from edge_agent.protocols.postgres.upstream_rules import UpstreamReady, UpstreamRules
from tests.edge_agent.protocols.postgres.doors import TestDoor
from tests.support.postgres import RealPostgres

Answerer = Callable[[Held], Deny | None]
DENIED = Deny("42501", "twokeys: denied by rob: not today", "request req_1", "Nothing was run.")


@dataclass
class Shell:
    """Accepts clients and answers holds by `answer`: None approves. `waits`: holds are kept until `release`."""

    postgres: RealPostgres
    answer: Answerer = lambda held: None
    waits: bool = False
    settings: dict[str, str] = field(default_factory=dict)
    user: tuple[str, str] | None = None
    policies: str | None = None
    may_write: bool = True
    door: type[TestDoor] = TestDoor
    limits: SessionLimits = field(default_factory=SessionLimits)
    effects: list[Effect] = field(default_factory=list)
    records: list[Forwarded] = field(default_factory=list)
    seen: threading.Condition = field(default_factory=threading.Condition)
    served: dict[int, Served] = field(default_factory=dict)
    listener: socket.socket = field(init=False)

    def __post_init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self.listener.getsockname()[1])

    @property
    def dsn(self) -> str:
        return f"host=127.0.0.1 port={self.port} dbname={self.postgres.database} user=agent-7 sslmode=disable"

    def of(self, *kinds: type) -> list[Effect]:
        """Effects of these kinds so far."""
        with self.seen:
            return [effect for effect in self.effects if isinstance(effect, kinds)]

    def wait_for(self, *kinds: type, count: int = 1) -> list[Effect]:
        """Wait until this many effects of these kinds came."""
        with self.seen:
            assert self.seen.wait_for(lambda: len(self._of(kinds)) >= count, timeout=20), self.effects
            return self._of(kinds)

    def _of(self, kinds: tuple[type, ...]) -> list[Effect]:
        return [effect for effect in self.effects if isinstance(effect, kinds)]

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        client.settimeout(60)
        with client:
            first = read_first(_packet(client))
            if isinstance(first, SSLRequest):
                client.sendall(b"N")
                first = read_first(_packet(client))
            if isinstance(first, CancelRequest):
                self.served[first.pid].cancel()
                return
            assert isinstance(first, StartupMessage)
            asked = requested(first.parameters)
            upstream, ready = self._sign_in(asked.settings)
            client.sendall(encode.authentication_ok())
            pid = secrets.randbelow(1 << 30)
            client.sendall(greeting(ready.parameters, may_write=self.may_write, pid=pid, key=b"k" * 4))
            served = self.served[pid] = Served(self, client, upstream, ready)
            with upstream, served.bell, served.ringer:
                served.run()

    def _sign_in(self, settings: object) -> tuple[socket.socket, UpstreamReady]:
        user, password = self.user or (self.postgres.user, self.postgres.password)
        rules = UpstreamRules(user, password, tls=False, search_path="shop, public", settings=self.settings)
        login = UpstreamLogin(rules, nonce=secrets.token_hex(16), database=self.postgres.database, settings={})
        upstream = socket.create_connection(("127.0.0.1", self.postgres.port))
        login.begin()
        while True:
            upstream.sendall(login.take_to_server())
            step = login.feed(upstream.recv(65536))
            if isinstance(step, UpstreamReady):
                return upstream, step


class Served:
    """One client's connection."""

    def __init__(self, shell: Shell, client: socket.socket, upstream: socket.socket, ready: UpstreamReady) -> None:
        self.shell, self.client, self.upstream, self.ready = shell, client, upstream, ready
        self.door = shell.door(*([shell.policies] if shell.policies is not None else []), may_write=shell.may_write)
        reported = "search_path" in ready.parameters
        guard = f"_tk{secrets.token_hex(8)}"
        self.session = Session(self.door, guard=guard, limits=shell.limits, path_reported=reported)
        self.asked: dict[int, Held | Allowed] = {}
        self.bell, self.ringer = socket.socketpair()
        self.calls: list[Callable[[], object]] = []

    def cancel(self) -> None:
        self.call(self.session.cancel)

    def call(self, work: Callable[[], object]) -> None:
        """Do work in the thread that owns the session."""
        self.calls.append(work)
        # A session that has ended has no bell any more.
        with contextlib.suppress(OSError):
            self.ringer.send(b"!")

    def run(self) -> None:
        with selectors.DefaultSelector() as selector:
            for each in (self.client, self.upstream, self.bell):
                selector.register(each, selectors.EVENT_READ)
            while not self.session.over:
                for key, _ in selector.select():
                    self._read(key.fileobj)
                    self._settle()
        self._settle()

    def _read(self, source: object) -> None:
        if source is self.bell:
            for _ in self.bell.recv(64):
                self.calls.pop(0)()
            return
        connection = self.client if source is self.client else self.upstream
        try:
            data = connection.recv(65536)
        except OSError:
            data = b""
        if source is self.client:
            self._from_client(data) if data else self.session.client_gone()
        elif data and (shown := self.session.lane.answers(data)) is not None:
            with suppress(OSError):
                self.client.sendall(shown)
        else:
            self.session.server_bytes(data) if data else self.session.server_gone()

    def _from_client(self, data: bytes) -> None:
        passage = self.session.lane.take(data)
        if passage is None:
            self.session.client_bytes(data)
            return
        if self.session.lane.write is None:
            bind = self.session.lane.bind
            self.shell.records.append(Forwarded(passage.judgement, passage.protocol, passage.text, bind))
        with suppress(OSError):
            self.upstream.sendall(self.session.lane.sent)

    def _settle(self) -> None:
        while effects := self.session.take_effects():
            for effect in effects:
                self._act(effect)
            with self.shell.seen:
                self.shell.effects += effects
                self.shell.seen.notify_all()
        self.shell.records += [one for one in self.session.take_records() if isinstance(one, Forwarded)]
        for connection, data in (
            (self.upstream, self.session.take_to_server()),
            (self.client, self.session.take_to_client()),
        ):
            with suppress(OSError):
                connection.sendall(data)

    def _act(self, effect: Effect) -> None:
        match effect:
            case Held() | Allowed():
                self.asked[effect.ticket] = effect
                if not self.shell.waits:
                    self.session.fingerprint(effect.ticket)
                with self.shell.seen:
                    self.shell.served[effect.ticket * -1] = self
            case Fingerprint():
                asked = self.asked[effect.ticket]
                denial = self.shell.answer(asked) if isinstance(asked, Held) else None
                if denial is None:
                    self.session.prepare(effect.ticket)
                else:
                    self.session.deny(effect.ticket, denial)
            case Prepared():
                self.session.forward(effect.ticket, self.door.approve(self.asked[effect.ticket].judgement))
            case NotPrepared():
                self.session.deny(effect.ticket, Deny(effect.sqlstate, effect.reason))
            case KeepRecords():
                self.session.on_disk()
            case ForwardCancel():
                with socket.create_connection(("127.0.0.1", self.shell.postgres.port)) as once:
                    once.sendall(encode.cancel_request(self.ready.key.pid, self.ready.key.key))
                    once.recv(1)
            case Terminate():
                pass


def _packet(client: socket.socket) -> bytes:
    head = _exactly(client, 4)
    return head + _exactly(client, int.from_bytes(head, "big") - 4)


def _exactly(client: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = client.recv(count - len(data))
        assert more, "the client hung up"
        data += more
    return data


@contextmanager
def shell(postgres: RealPostgres, **options: object) -> Iterator[Shell]:
    """A running shell."""
    running = Shell(postgres, **options)  # type: ignore[arg-type]
    try:
        yield running
    finally:
        running.listener.close()
