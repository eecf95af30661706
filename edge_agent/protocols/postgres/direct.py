"""See that the server itself answers, and no pooler that hands its sessions round.

    UpstreamReady ─▶ "which process serves us?" ─▶ the process that BackendKeyData announced ─▶ UpstreamReady

The second witness is a setting of the server's session: on a session that others share, or that another takes the place
of between two transactions, it proves nothing, and what a pooler reports may be what it remembers of another session.
A pooler gives keys for cancelling of its own making, since a server's session is not bound to its client: the process
that they name is not the one that answers.

https://www.postgresql.org/docs/current/protocol-message-formats.html (BackendKeyData),
https://www.postgresql.org/docs/current/functions-info.html (pg_backend_pid)
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from edge_agent.protocols.postgres import encode
from edge_agent.protocols.postgres import server_messages as server
from edge_agent.protocols.postgres.framing import Splitter
from edge_agent.protocols.postgres.limits import WireLimits
from edge_agent.protocols.postgres.messages import malformed
from edge_agent.protocols.postgres.upstream_rules import MAX_REPORTED, UpstreamReady
from twokeys.errors import Refused

QUESTION: Final = encode.query(b"SELECT pg_catalog.pg_backend_pid()")
"""To be written as soon as the session stands."""


class DirectProof:
    """One session's; `feed` it what comes after the QUESTION, what came with `ready` first.

    Args:
        ready: The session.
        limits: Sizes.
    """

    def __init__(self, ready: UpstreamReady, limits: WireLimits) -> None:
        self._ready = ready
        self._splitter = Splitter(limits.server_table)
        self._said: bytes | None = None
        self._asides: list[bytes] = []

    def feed(self, data: bytes) -> UpstreamReady | None:
        """Take bytes from the server.

        Returns:
            The session, with all that the session core is to hear in `rest`; None: more bytes are needed.

        Raises:
            InvalidInput: The server broke the protocol.
            Refused: Something stands between us and the server, or it doesn't say.
        """
        for kind, start, end in self._splitter.feed(data):
            match kind:
                case server.ROW_DESCRIPTION | server.COMMAND_COMPLETE:
                    pass
                case server.DATA_ROW:
                    self._said = (server.read_data_row(self._splitter.buffer, start, end) or (None,))[0]
                case server.PARAMETER_STATUS | server.NOTICE_RESPONSE if len(self._asides) < MAX_REPORTED:
                    self._asides.append(self._splitter.buffer[start:end])
                case server.ERROR_RESPONSE:
                    self._said = None
                case server.READY_FOR_QUERY if server.read_ready(self._splitter.buffer, start, end) == ord("I"):
                    return self._proven(self._splitter.buffer[end:])
                case _:
                    malformed(f"{chr(kind)!r}")
        return None

    def _proven(self, rest: bytes) -> UpstreamReady:
        if self._said is None or self._said != str(self._ready.key.pid).encode():
            raise Refused(
                "A pooler or another go-between stands before the server: its read-only mode would prove nothing.",
                not_done="The session was not begun.",
                advice="Let upstream_host and upstream_port name the server itself; a pooler goes before the edge.",
                code="upstream_pooler",
            )
        return replace(self._ready, rest=b"".join(self._asides) + rest)
