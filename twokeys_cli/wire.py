"""A small PostgreSQL client: one session, simple queries, errors with all their fields. Blocking, for one terminal.

It speaks the Edge's own codec and SCRAM, so that running a migration needs no driver.
https://www.postgresql.org/docs/current/protocol-flow.html
"""

from __future__ import annotations

import contextlib
import secrets
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Self

from edge_agent.protocols.postgres import encode
from edge_agent.protocols.postgres import server_messages as server
from edge_agent.protocols.postgres.channel_binding import end_point
from edge_agent.protocols.postgres.framing import Splitter
from edge_agent.protocols.postgres.limits import WireLimits
from edge_agent.protocols.postgres.scram import ScramClient
from twokeys.errors import InvalidInput, Refused, Unavailable
from twokeys_cli.proof import Proof

CONNECT_SECONDS: Final = 15.0
"""Longest wait until the session stands; a query waits as long as people take."""

READ_BYTES: Final = 64 * 1024

MAX_TAGS: Final = 100_000
"""Most results of one query."""


@dataclass(frozen=True, slots=True)
class Where:
    """An Edge's door, and who knocks.

    Args:
        host: Name or address.
        port: TCP port.
        user: The caller's id.
        proof: The caller's credential or token.
        database: Empty: the target's.
        tls: How to verify the Edge; None: plain, on this machine alone.
    """

    host: str
    port: int
    user: str
    proof: Proof
    database: str = ""
    tls: ssl.SSLContext | None = None


@dataclass(slots=True)
class Answer:
    """What the server said of one query: the tags of the statements that ran, and the error that ended it."""

    tags: list[str] = field(default_factory=list)
    error: dict[str, str] = field(default_factory=dict)
    status: int = 0


class PostgresSession:
    """A signed-in session. Use as a context manager."""

    def __init__(self, where: Where, notice: Callable[[str], None]) -> None:
        """Connect and sign in.

        Raises:
            Unavailable: when nobody answers, or the connection is lost.
            Refused: when the Edge does not let us in, or can't prove itself.
        """
        self._notice = notice
        self._splitter = Splitter(WireLimits().server_table)
        self._messages: list[tuple[int, bytes]] = []
        try:
            self._socket = socket.create_connection((where.host, where.port), CONNECT_SECONDS)
            if where.tls is not None:
                self._encrypt(where)
            self._sign_in(where)
            self._socket.settimeout(None)
        except OSError as error:
            raise Unavailable(f"{where.host}:{where.port} can't be reached ({error}).", not_done="Nothing was sent.",
                              advice="Is it an edge's address?") from error  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._socket.sendall(encode.TERMINATE_MESSAGE)
        self._socket.close()

    def query(self, text: bytes) -> Answer:
        """Run a text as one simple Query; its rows are dropped.

        Raises:
            Unavailable: when the connection is lost: what became of it is not known here.
        """
        try:
            self._socket.sendall(encode.query(text))
            return self._answer()
        except OSError as error:
            raise _lost(str(error)) from error

    def _answer(self) -> Answer:
        answer = Answer()
        while True:
            kind, message = self._next()
            match kind:
                case server.COMMAND_COMPLETE if len(answer.tags) < MAX_TAGS:
                    answer.tags.append(
                        server.read_command_complete(message, 0, len(message)).decode("utf-8", "replace")
                    )
                case server.ERROR_RESPONSE:
                    answer.error = _fields(message)
                    if answer.error.get("S") == "FATAL":
                        return answer
                case server.NOTICE_RESPONSE:
                    self._notice(_fields(message).get("M", ""))
                case server.COPY_IN:
                    self._socket.sendall(encode.copy_fail("no data come along with a file"))
                case server.READY_FOR_QUERY:
                    answer.status = server.read_ready(message, 0, len(message))
                    return answer
                case _:
                    continue

    def _next(self) -> tuple[int, bytes]:
        while not self._messages:
            data = self._socket.recv(READ_BYTES)
            if not data:
                raise _lost("the edge closed the connection")
            spans = self._splitter.feed(data)
            self._messages = [(kind, self._splitter.buffer[start:end]) for kind, start, end in spans]
        return self._messages.pop(0)

    def _encrypt(self, where: Where) -> None:
        assert where.tls is not None  # noqa: S101
        self._socket.sendall(encode.SSL_REQUEST_PACKET)
        if self._socket.recv(1) != b"S":
            raise Refused(f"{where.host} speaks no TLS.", not_done="No credential was sent.",
                          advice="Plain connections are for this machine alone.")  # fmt: skip
        self._socket = where.tls.wrap_socket(self._socket, server_hostname=where.host)

    def _sign_in(self, where: Where) -> None:
        known = {"user": where.user, "client_encoding": "UTF8", "application_name": "twokeys run"}
        self._socket.sendall(encode.startup_message(known | ({"database": where.database} if where.database else {})))
        scram: ScramClient | None = None
        proven = False
        while True:
            kind, message = self._next()
            if kind == server.ERROR_RESPONSE:
                raise Refused(f"The edge refused the session: {_fields(message).get('M', '')}",
                              not_done="Nothing was sent.", advice="Check user, password and database.")  # fmt: skip
            if kind == server.READY_FOR_QUERY:
                return
            if kind != server.AUTHENTICATION:
                continue
            asked = server.read_authentication(message, 0, len(message))
            if asked.code == server.AUTH_SASL and where.proof.is_token:
                raise Refused(f"The edge asks {where.user} for a credential by SCRAM, and a token was given.",
                              not_done="The token was not sent.",
                              advice="Is the user what `twokeys issuer caller` prints for the token's subject? A "
                                     "caller with a credential uses PGPASSWORD or --password-file.")  # fmt: skip
            if asked.code == server.AUTH_SASL:
                scram = self._scram(where, asked.rest)
                self._socket.sendall(encode.sasl_initial_response(scram.mechanism, scram.first()))
            elif asked.code == server.AUTH_SASL_CONTINUE and scram is not None:
                self._socket.sendall(encode.sasl_response(scram.final(asked.rest)))
            elif asked.code == server.AUTH_SASL_FINAL and scram is not None:
                scram.verify(asked.rest)
                proven = True
            elif asked.code == server.AUTH_CLEARTEXT and where.proof.is_token and where.tls is not None:
                # TLS has proven the Edge; a token is for one target and some minutes.
                self._socket.sendall(encode.message(b"p", where.proof.secret.encode() + b"\0"))
                proven = True
            elif asked.code != server.AUTH_OK or not proven:
                # A credential never leaves this machine, and a token not without TLS.
                raise Refused("The edge asks for another proof than SCRAM.", not_done="No credential was sent.",
                              advice="Use a credential of `twokeys credential create`, or show a token over TLS "
                                     "(--token-file).")  # fmt: skip

    def _scram(self, where: Where, rest: bytes) -> ScramClient:
        certificate = self._socket.getpeercert(binary_form=True) if isinstance(self._socket, ssl.SSLSocket) else None
        offered = [name.decode("ascii", "replace") for name in rest.split(b"\0") if name]
        return ScramClient(
            where.proof.secret, nonce=secrets.token_urlsafe(18), offered=offered,
            binding=end_point(certificate) if certificate else None, encrypted=where.tls is not None,
        )  # fmt: skip


def _fields(message: bytes) -> dict[str, str]:
    try:
        found = server.read_fields(message, 0, len(message))
    except InvalidInput:
        return {}
    return {name: value.decode("utf-8", "replace") for name, value in found.items()}


def _lost(why: str) -> Unavailable:
    return Unavailable(f"The connection was lost ({why}).", not_done="What became of the statement is not known here.",
                       advice="Look at its request: `twokeys request list --state all`.", code="lost")  # fmt: skip
