"""The client's side of a connection until it is signed in.

    first packet ─▶ SSLRequest ─▶ 'S', StartTls ─▶ … ─▶ StartupMessage ─▶ parameters ─▶ SCRAM or token ─▶ Authenticated
                 ├▶ GSSENCRequest ─▶ 'N'
                 └▶ CancelRequest ─▶ Cancel

Rules:
  1. Each encryption is asked for once, and nothing may follow a request before its answer (CVE-2021-23214: what came
     in the clear must never be read as if it had come by TLS).
  2. Without TLS only SCRAM, and only where the rules permit it; a token is asked for over TLS alone.
  3. A failure never says what was wrong: unknown user, wrong proof and false token end in the same words.
  4. Nothing may follow a proof before our answer.

https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-START-UP
"""

from __future__ import annotations

import enum
import struct
from typing import Final, assert_never

from edge_agent.protocols.postgres import encode, sqlstate
from edge_agent.protocols.postgres.framing import Splitter
from edge_agent.protocols.postgres.limits import HEADER_BYTES
from edge_agent.protocols.postgres.messages import (
    PROTOCOL_MAJOR,
    CancelRequest,
    GSSENCRequest,
    SSLRequest,
    StartupMessage,
    malformed,
    read_first,
    read_query,
)
from edge_agent.protocols.postgres.oidc_password import verify_token
from edge_agent.protocols.postgres.parameters import Requested, requested
from edge_agent.protocols.postgres.scram import PLAIN, PLUS, ScramServer, mock_verifier
from edge_agent.protocols.postgres.startup_rules import (
    Authenticated,
    Cancel,
    Directory,
    Ended,
    OidcUser,
    Plaintext,
    ScramUser,
    StartTls,
    StartupRules,
    Step,
)
from twokeys.caller import Caller
from twokeys.errors import InvalidInput, Refused, TwokeysError
from twokeys.verifier import DEFAULT_ITERATIONS

NEWEST_MINOR: Final = 2
"""Of protocol 3. There is no 3.1: who asks for it gets 3.0."""

_WORD: Final = struct.Struct("!I").unpack_from


class _Stage(enum.Enum):
    FIRST, TLS, SCRAM_START, SCRAM_FINISH, TOKEN, OVER = range(6)


class Startup:
    """One client's connection until it is signed in.

    Args:
        rules: What we demand.
        directory: Who may sign in.
        nonce: Fresh randomness for SCRAM: at least 18 characters of printable ASCII without a comma.
        loopback: Whether the peer is this machine.
    """

    def __init__(self, rules: StartupRules, directory: Directory, *, nonce: str, loopback: bool) -> None:
        self._rules, self._directory, self._nonce, self._loopback = rules, directory, nonce, loopback
        self._stage = _Stage.FIRST
        self._encrypted = False
        self._asked: set[type] = set()
        self._packet = bytearray()
        self._splitter = Splitter(rules.limits.authentication_table)
        self._out = bytearray()
        self._minor = 0
        self._requested: Requested | None = None
        self._user: ScramUser | OidcUser | None = None
        self._scram: ScramServer | None = None

    def take_to_client(self) -> bytes:
        """What is to be written to the client now, in one write."""
        data = bytes(self._out)
        self._out.clear()
        return data

    def tls_started(self) -> None:
        """TLS stands: after `StartTls`, or at once where the client began with it (direct TLS)."""
        if self._encrypted or self._stage not in (_Stage.TLS, _Stage.FIRST) or self._packet:
            raise InvalidInput("TLS was begun out of turn.", not_done="The connection is not trusted.")
        self._encrypted, self._stage = True, _Stage.FIRST

    def feed(self, data: bytes, now: int) -> Step | None:
        """Take bytes from the client.

        Args:
            data: In any split.
            now: Seconds since the epoch, to judge tokens by.

        Returns:
            The next step; None: more bytes are needed. After Cancel, Authenticated and Ended it is over.
        """
        try:
            step = self._read_first(data) if self._stage is _Stage.FIRST else self._read_proof(data, now)
        except InvalidInput as error:
            return self._end(sqlstate.PROTOCOL_VIOLATION, error)
        if step is not None and not isinstance(step, StartTls):
            self._stage = _Stage.OVER
        return step

    # before it says who it is

    def _read_first(self, data: bytes) -> Step | None:
        self._packet += data
        while len(self._packet) >= 4:
            length = _WORD(self._packet)[0]
            if not 8 <= length <= self._rules.limits.startup:
                malformed("start-up")
            if len(self._packet) < length:
                return None
            packet = bytes(self._packet)
            self._packet.clear()
            # Rule 1, and nobody has more to say before our answer.
            if len(packet) > length:
                raise InvalidInput(
                    "Bytes came after a start-up packet, before its answer.",
                    not_done="None of them was read.",
                    code="early_bytes",
                )
            return self._act_on(read_first(packet))
        return None

    def _act_on(self, packet: CancelRequest | SSLRequest | GSSENCRequest | StartupMessage) -> Step | None:
        match packet:
            case CancelRequest():
                return Cancel(packet)
            case SSLRequest() | GSSENCRequest():
                return self._encrypt(packet)
            case StartupMessage():
                return self._begin(packet)
            case _:
                assert_never(packet)

    def _encrypt(self, packet: SSLRequest | GSSENCRequest) -> Step | None:
        if self._encrypted or type(packet) in self._asked:
            raise InvalidInput("Encryption was asked for twice.", not_done="No session was begun.", code="asked_twice")
        self._asked.add(type(packet))
        if isinstance(packet, SSLRequest) and self._rules.tls:
            self._out += b"S"
            self._stage = _Stage.TLS
            return StartTls()
        self._out += b"N"
        return None

    def _begin(self, packet: StartupMessage) -> Step | None:
        if packet.major != PROTOCOL_MAJOR:
            return self._end(
                sqlstate.NOT_SUPPORTED,
                Refused(
                    f"Protocol {packet.major}.{packet.minor} is not spoken here.",
                    not_done="No session was begun.",
                    advice="Use a client that speaks PostgreSQL's protocol 3.",
                    code="protocol_version",
                ),
            )
        try:
            asked = self._requested = requested(packet.parameters, self._rules.default_database, self._rules.schemas)
        except InvalidInput as error:
            return self._end(sqlstate.PROTOCOL_VIOLATION, error)
        except Refused as error:
            state = sqlstate.NOT_SUPPORTED if error.code == "replication" else sqlstate.INVALID_AUTHORIZATION
            return self._end(state, error)
        if not self._encrypted and not self._plaintext_permitted():
            return self._end(
                sqlstate.INVALID_AUTHORIZATION,
                Refused(
                    "This edge asks for TLS.",
                    not_done="No credential was asked for.",
                    advice="Connect with sslmode=require or stricter.",
                    code="plaintext",
                ),
            )
        self._minor = NEWEST_MINOR if packet.minor >= NEWEST_MINOR else 0
        if packet.minor != self._minor or asked.protocol_options:
            self._out += encode.negotiate_protocol_version(self._minor, asked.protocol_options)
        self._ask_for_proof(asked.user)
        return None

    def _plaintext_permitted(self) -> bool:
        permitted = self._rules.plaintext
        return permitted is Plaintext.ANYWHERE or (permitted is Plaintext.LOOPBACK and self._loopback)

    # until it has proven it

    def _ask_for_proof(self, user: str) -> None:
        found = self._user = self._directory.lookup(user)
        if isinstance(found, OidcUser) and self._encrypted:
            self._stage = _Stage.TOKEN
            self._out += encode.authentication_cleartext()
            return
        binding = self._rules.binding if self._encrypted else None
        verifier = (
            found.verifier
            if isinstance(found, ScramUser)
            else mock_verifier(self._rules.mock_secret, user, DEFAULT_ITERATIONS)
        )
        self._scram = ScramServer(verifier, genuine=isinstance(found, ScramUser), nonce=self._nonce, binding=binding)
        self._stage = _Stage.SCRAM_START
        self._out += encode.authentication_sasl([PLAIN] if binding is None else [PLUS, PLAIN])

    def _read_proof(self, data: bytes, now: int) -> Step | None:
        if self._stage in (_Stage.TLS, _Stage.OVER):
            raise InvalidInput("Bytes came out of turn.", not_done="They were not read.", code="early_bytes")
        spans = self._splitter.feed(data)
        if not spans:
            return None
        if len(spans) > 1 or self._splitter.pending:
            raise InvalidInput(
                "Bytes came after a proof, before its answer.", not_done="None of them was read.", code="early_bytes"
            )
        _, start, end = spans[0]
        try:
            return self._judge(self._splitter.buffer, start, end, now)
        except TwokeysError as error:
            return self._deny(error.code)

    def _judge(self, data: bytes, start: int, end: int, now: int) -> Step | None:
        if self._stage is _Stage.TOKEN:
            return self._judge_token(read_query(data, start, end).decode("ascii", "replace"), now)
        if self._scram is None:
            malformed("authentication")
        if self._stage is _Stage.SCRAM_START:
            mechanism, first = _initial_response(data, start, end)
            self._out += encode.authentication_sasl_continue(self._scram.start(mechanism, first))
            self._stage = _Stage.SCRAM_FINISH
            return None
        final = self._scram.finish(data[start + HEADER_BYTES : end])
        if not isinstance(self._user, ScramUser):
            return self._deny("unknown_user")
        self._out += encode.authentication_sasl_final(final)
        return self._welcome(self._user.caller, None)

    def _judge_token(self, token: str, now: int) -> Step:
        asked, user = self._requested, self._user
        if asked is None or not isinstance(user, OidcUser):
            return self._deny("unknown_user")
        identity = verify_token(token, user.issuers, self._rules.target, now)
        caller = identity.caller(user.registered)
        # A name that isn't the token's would stand in the server's and our records.
        if identity.subject != asked.user or caller.id != identity.subject:
            return self._deny("other_subject")
        return self._welcome(caller, identity.expires_at)

    def _welcome(self, caller: Caller, expires_at: int | None) -> Step:
        if self._requested is None:
            return self._deny("unknown_user")
        self._out += encode.authentication_ok()
        asked = self._requested
        return Authenticated(caller, asked.database, asked.settings, self._minor, expires_at)

    # the end

    def _deny(self, code: str) -> Ended:
        user = self._requested.user if self._requested is not None else ""
        said = Refused(
            f'password authentication failed for user "{user}"',
            not_done="No session was begun.",
            advice="An owner makes a caller's credential with: twokeys credential create CALLER TARGET. A token "
            "counts over TLS, for its own subject, and only with this target's audience.",
            code=code,
        )
        return self._end(sqlstate.INVALID_CREDENTIAL, said)

    def _end(self, state: str, error: TwokeysError) -> Ended:
        self._out.clear()
        self._out += sqlstate.fatal(state, error)
        self._packet.clear()
        self._stage = _Stage.OVER
        return Ended(error.code, self._requested.user if self._requested is not None else "")


def _initial_response(data: bytes, start: int, end: int) -> tuple[str, bytes]:
    """Mechanism and data of a SASLInitialResponse. Raises InvalidInput, also for one without data."""
    name_end = data.find(b"\0", start + HEADER_BYTES, end)
    if name_end < 0 or name_end + 5 > end or _WORD(data, name_end + 1)[0] != end - name_end - 5:
        malformed("SASLInitialResponse")
    return data[start + HEADER_BYTES : name_end].decode("ascii", "replace"), data[name_end + 5 : end]
