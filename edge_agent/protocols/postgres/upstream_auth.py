"""The Edge as a client: sign in at the real server and see that it is as the session core needs it.

    begin ─▶ SSLRequest ─▶ StartTls ─▶ StartupMessage ─▶ SCRAM ─▶ ParameterStatus …, BackendKeyData ─▶ UpstreamReady

Rules:
  1. TLS is required or off, never "preferred": what can be stripped is no protection.
  2. Passwords leave only as a SCRAM proof; a server that asks for one in the clear or as MD5 is refused.
  3. AuthenticationOk counts after the server's signature, after TLS in which both showed certificates, or where
     `unsafe_trust` says so.
  4. The session must start read-only, in UTF-8, with standard strings, by the server's own report: the options may
     have been dropped on the way (a pooler) or overridden, and an old server does not report them.

https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-START-UP
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

from edge_agent.protocols.postgres import encode, sqlstate
from edge_agent.protocols.postgres import server_messages as server
from edge_agent.protocols.postgres.framing import Splitter
from edge_agent.protocols.postgres.messages import malformed
from edge_agent.protocols.postgres.scram import ScramClient
from edge_agent.protocols.postgres.upstream_rules import (
    MAX_REPORTED,
    StartTls,
    UpstreamReady,
    UpstreamRules,
    UpstreamStep,
    check_reported,
    startup_packet,
)
from twokeys.errors import InvalidInput, Refused, Unavailable


class _Stage(enum.Enum):
    NEW, TLS_ANSWER, TLS, ASKED, CHALLENGED, PROVEN, SIGNED, OKAY, OVER = range(9)


class UpstreamLogin:
    """One sign-in at the server.

    Args:
        rules: Whom to be, and what to demand.
        nonce: Fresh randomness for SCRAM: at least 18 characters of printable ASCII without a comma.
        database: The client's.
        settings: The client's allowed settings (`Requested.settings`).

    Raises:
        InvalidInput: from the constructor, when a setting or the name of the database can't be sent.
    """

    def __init__(self, rules: UpstreamRules, *, nonce: str, database: str, settings: Mapping[str, str]) -> None:
        self._rules, self._nonce = rules, nonce
        self._startup = startup_packet(rules, database, settings)
        self._stage = _Stage.NEW
        self._binding: bytes | None = None
        self._scram: ScramClient | None = None
        self._splitter = Splitter(rules.limits.login_table)
        self._reported: dict[str, str] = {}
        self._key = server.BackendKeyData(0, b"")
        self._out = bytearray()

    def begin(self) -> None:
        """Say the first word; `take_to_server` has it."""
        if self._stage is not _Stage.NEW:
            malformed("login")
        if self._rules.tls:
            self._out += encode.SSL_REQUEST_PACKET
            self._stage = _Stage.TLS_ANSWER
        else:
            self._say_hello()

    def tls_started(self, binding: bytes | None) -> None:
        """TLS stands, after `StartTls`.

        Args:
            binding: `end_point` of the server's certificate.
        """
        if self._stage is not _Stage.TLS:
            malformed("login")
        self._binding = binding
        self._say_hello()

    def take_to_server(self) -> bytes:
        """What is to be written to the server now, in one write."""
        data = bytes(self._out)
        self._out.clear()
        return data

    def feed(self, data: bytes) -> UpstreamStep | None:
        """Take bytes from the server. Slow once, at the SCRAM challenge.

        Returns:
            The next step; None: more bytes are needed.

        Raises:
            InvalidInput: The server broke the protocol.
            Refused: It refused us (code ``upstream_<sqlstate>``), asks for what we don't give, or is not as it must be.
            Unavailable: It speaks no TLS though TLS is required, or it is starting or shutting down.
        """
        try:
            return self._read(data)
        except (InvalidInput, Refused, Unavailable):
            self._stage = _Stage.OVER
            self._out.clear()
            raise

    def _say_hello(self) -> None:
        self._out += self._startup
        self._stage = _Stage.ASKED

    def _read(self, data: bytes) -> UpstreamStep | None:
        if self._stage is _Stage.TLS_ANSWER:
            return self._read_tls_answer(data)
        if self._stage in (_Stage.NEW, _Stage.TLS, _Stage.OVER):
            # Bytes before the handshake must never be read as if they had come by TLS (CVE-2021-23222).
            malformed("login")
        for kind, start, end in self._splitter.feed(data):
            if self._take(kind, self._splitter.buffer, start, end):
                check_reported(self._reported)
                self._stage = _Stage.OVER
                return UpstreamReady(dict(self._reported), self._key, self._splitter.buffer[end:])
        return None

    def _read_tls_answer(self, data: bytes) -> StartTls | None:
        if data == b"N":
            raise Unavailable(
                "The server speaks no TLS.",
                not_done="No credential was sent.",
                advice="Turn ssl on at the server, or tls off for this target.",
                code="no_upstream_tls",
            )
        if data not in (b"", b"S"):
            malformed("SSLRequest's answer")
        if not data:
            return None
        self._stage = _Stage.TLS
        return StartTls()

    def _take(self, kind: int, data: bytes, start: int, end: int) -> bool:
        """Take one message; True at the ReadyForQuery that ends the login."""
        match kind:
            case server.AUTHENTICATION:
                self._authenticate(server.read_authentication(data, start, end))
            case server.ERROR_RESPONSE:
                self._refused(server.read_fields(data, start, end))
            case server.NOTICE_RESPONSE:
                server.read_fields(data, start, end)
            case server.PARAMETER_STATUS if self._stage is _Stage.OKAY:
                self._report(server.read_parameter_status(data, start, end))
            case server.BACKEND_KEY_DATA if self._stage is _Stage.OKAY:
                self._key = server.read_backend_key(data, start, end)
            case server.READY_FOR_QUERY if self._stage is _Stage.OKAY:
                if server.read_ready(data, start, end) != ord("I"):
                    malformed("ReadyForQuery")
                return True
            case _:
                # NegotiateProtocolVersion too: we ask for 3.0 and no options.
                malformed(f"{chr(kind)!r}")
        return False

    def _authenticate(self, asked: server.Authentication) -> None:
        match asked.code, self._stage:
            case server.AUTH_SASL, _Stage.ASKED:
                self._start_scram(asked.rest)
            case server.AUTH_SASL_CONTINUE, _Stage.CHALLENGED if self._scram is not None:
                self._out += encode.sasl_response(self._scram.final(asked.rest))
                self._stage = _Stage.PROVEN
            case server.AUTH_SASL_FINAL, _Stage.PROVEN if self._scram is not None:
                self._scram.verify(asked.rest)
                self._stage = _Stage.SIGNED
            case server.AUTH_OK, (_Stage.SIGNED | _Stage.ASKED) as stage if not asked.rest:
                proven = self._rules.by_certificate and not self._rules.require_binding
                if stage is _Stage.ASKED and not proven and not self._rules.unsafe_trust:
                    raise Refused(
                        "The server lets us in without a proof, so it proved nothing either.",
                        not_done="The session was not begun.",
                        code="upstream_trust",
                        advice="Use scram-sha-256 in its pg_hba.conf, or set unsafe_trust for this target.",
                    )
                self._stage = _Stage.OKAY
            case ((server.AUTH_CLEARTEXT | server.AUTH_MD5), _Stage.ASKED):
                raise Refused(
                    "The server asks for the password itself, or its MD5.",
                    not_done="No credential was sent.",
                    code="upstream_password",
                    advice="Use scram-sha-256 in its pg_hba.conf and set the role's password again.",
                )
            case _:
                raise Refused(
                    f"The server asks for authentication {asked.code}, which is not spoken here.",
                    not_done="No credential was sent.",
                    code="upstream_authentication",
                    advice="Use scram-sha-256 in its pg_hba.conf.",
                )

    def _start_scram(self, rest: bytes) -> None:
        names = rest.split(b"\0")
        if names[-2:] != [b"", b""]:
            malformed("AuthenticationSASL")
        offered = [name.decode("ascii", "replace") for name in names[:-2]]
        scram = self._scram = ScramClient(
            self._rules.password, nonce=self._nonce, offered=offered, binding=self._binding, encrypted=self._rules.tls
        )
        if self._rules.require_binding and not scram.is_bound:
            raise Refused(
                "The server offers no channel binding.",
                not_done="No credential was used.",
                code="upstream_unbound",
                advice="Give the server a certificate with an ECDSA or RSA signature, or don't require it.",
            )
        self._out += encode.sasl_initial_response(scram.mechanism, scram.first())
        self._stage = _Stage.CHALLENGED

    def _report(self, status: server.ParameterStatus) -> None:
        try:
            self._reported[status.name.decode()] = status.value.decode()
        except UnicodeDecodeError:
            malformed("ParameterStatus")
        if len(self._reported) > MAX_REPORTED:
            malformed("ParameterStatus")

    def _refused(self, fields: dict[str, bytes]) -> None:
        state = fields.get("C", b"").decode("ascii", "replace")
        said = fields.get("M", b"").decode("utf-8", "replace")
        kind = Unavailable if state == sqlstate.CANNOT_CONNECT_NOW or state.startswith("53") else Refused
        raise kind(
            f"The server refused the session: {said} ({state}).",
            not_done="The session was not begun.",
            code=f"upstream_{state.lower()}",
        )
