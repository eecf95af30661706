"""What is fuzzed: each target takes any bytes, and holds one invariant on top of not failing in any other way."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Final

from edge_agent.classify.sql import classify_sql
from edge_agent.protocols.postgres import encode, messages, server_messages
from edge_agent.protocols.postgres.events import Held
from edge_agent.protocols.postgres.framing import Splitter
from edge_agent.protocols.postgres.limits import WireLimits
from edge_agent.protocols.postgres.scram import PLAIN, ScramClient, ScramServer
from edge_agent.protocols.postgres.startup import Startup
from edge_agent.protocols.postgres.startup_rules import Authenticated, Plaintext, ScramUser, StartupRules
from tests.edge_agent.protocols.postgres.script import ROW_DESCRIPTION, SYNC, Script, bound, data_row
from tests.fuzz.lane_twins import CLIENT, SERVER, steps, twins, written
from tests.fuzz.observer import executed
from twokeys.caller import Caller, CallerKind
from twokeys.errors import InvalidInput, TwokeysError
from twokeys.verifier import verifier_of

LIMITS: Final = WireLimits()
VERIFIER: Final = verifier_of("pencil", bytes(16))
RULES: Final = StartupRules("sample-db", False, b"s" * 32, None, Plaintext.LOOPBACK, "shop")
NONCE: Final = "server-nonce-0123456789"
READERS: Final = (
    messages.read_query, messages.read_parse, messages.read_bind, messages.read_describe, messages.read_execute,
    messages.read_empty, server_messages.read_authentication, server_messages.read_parameter_status,
    server_messages.read_backend_key, server_messages.read_ready, server_messages.read_command_complete,
    server_messages.read_fields, server_messages.read_parameter_description, server_messages.read_row_description,
    server_messages.read_data_row, server_messages.read_negotiate,
)  # fmt: skip
"""Every reader of one message."""


class OneUser:
    """A directory with agent-7 in it."""

    def lookup(self, user: str) -> ScramUser | None:
        return ScramUser(VERIFIER, Caller("agent-7", CallerKind.MACHINE, "ann")) if user == "agent-7" else None


def codec(data: bytes) -> None:
    """A reader reads a message or says InvalidInput, and what it reads of a Query is what would be sent again."""
    whole = encode.message(b"Q", data)
    for read in READERS:
        with contextlib.suppress(InvalidInput):
            read(whole, 0, len(whole))
    with contextlib.suppress(InvalidInput):
        assert encode.query(messages.read_query(whole, 0, len(whole))) == whole
    with contextlib.suppress(InvalidInput):
        messages.read_first(data)


def framing(data: bytes) -> None:
    """In whatever pieces bytes come, the same messages are found, or the stream is refused both times."""
    size = 1 + (data[0] % 7 if data else 0)
    for table in (LIMITS.client_table, LIMITS.server_table):
        assert spans(Splitter(table), [data]) == spans(
            Splitter(table), [data[at : at + size] for at in range(0, len(data), size)]
        )


def spans(splitter: Splitter, chunks: list[bytes]) -> tuple[list[bytes], bool]:
    """The whole messages before a refusal of the stream, and whether it was refused."""
    found: list[bytes] = []
    for chunk in chunks:
        try:
            found += [splitter.buffer[start:end] for _, start, end in splitter.feed(chunk)]
        except InvalidInput:
            # Of one chunk the messages before the illegal one are not reported.
            return [], True
    return found, False


def startup(data: bytes) -> None:
    """Nobody is signed in without the proof, whatever is sent in whatever pieces."""
    side = Startup(RULES, OneUser(), nonce=NONCE, loopback=True)
    size = 1 + (data[0] if data else 0)
    for at in range(1, len(data), size):
        step = side.feed(data[at : at + size], 1_795_379_462)
        assert not isinstance(step, Authenticated)
        side.take_to_client()
        if step is not None:
            return


def scram(data: bytes) -> None:
    """Neither side of SCRAM believes bytes, and no error but ours escapes."""
    first, _, second = data.partition(b"\n")
    with contextlib.suppress(TwokeysError):
        side = ScramServer(VERIFIER, genuine=True, nonce=NONCE, binding=None)
        side.start(PLAIN, first)
        side.finish(second)
        raise AssertionError("the server believed a proof that nobody could make")
    with contextlib.suppress(TwokeysError):
        other = ScramClient("pencil", nonce="client-nonce-0123456789", offered=(PLAIN,), binding=None, encrypted=False)
        other.first()
        other.final(first)
        other.verify(second)
        raise AssertionError("the client believed a server that does not know its password")


def session(data: bytes) -> None:
    """Nothing that was held is run by the server while nobody approves, as an observer reads what it was sent."""
    run = Script()
    run.client(data[1:] + SYNC, split=1 + data[0] if data else 0)
    held = {effect.command.text for effect in run.of(Held) if isinstance(effect, Held)}
    ran = executed(run.sent)
    assert not held & set(ran)
    verdicts = [classify_sql(text, ("shop", "public")) for text in ran]
    made = {name for verdict in verdicts if verdict.is_read for name in verdict.prepared}
    for text, verdict in zip(ran, verdicts, strict=True):
        reads = verdict.is_read or verdict.executes in made
        assert reads or verdict.actions or text not in data, text
    assert b"_tk" not in run.told


def server(data: bytes) -> None:
    """Any bytes of a server are passed on or end the session; nothing of the client is forwarded after its end."""
    run = Script()
    run.session.client_bytes(bound(b"SELECT 1") + SYNC + encode.query(b"SELECT 2"))
    run.session.take_to_server()
    run.session.server_bytes(data)
    run.session.take_to_client()
    if run.session.over:
        run.session.take_to_server()
        run.session.client_bytes(encode.query(b"SELECT 3"))
        assert b"SELECT 3" not in run.session.take_to_server()


def lane(data: bytes) -> None:
    """With the lane and without it the same bytes go both ways and the same is recorded, after each chunk."""
    one, other = twins(data[0] if data else 0)
    for who, chunk, count in steps(data[1:]):
        for twin in (one, other):
            if twin.session.over:
                continue
            if count:
                twin.arrive(count)
            elif who == CLIENT:
                twin.client(chunk)
            else:
                twin.server(chunk)
        assert one.seen() == other.seen(), (who, chunk, count)


def classifier(data: bytes) -> None:
    """Any text has a verdict, and what no grammar reads is no read."""
    verdict = classify_sql(data, ("shop", "public"))
    assert verdict.classification.accesses
    if b"\0" in data or verdict.refusal:
        assert not verdict.is_read


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    one.__name__: one for one in (codec, framing, startup, scram, session, server, lane, classifier)
}

_HELLO = b"\0\3\0\0user\0agent-7\0database\0shop\0\0"
_UPDATE = b"UPDATE orders SET total = 1"
_ASKED = (CLIENT, encode.query(b"SELECT 1"))
_WRITE = (CLIENT, encode.query(_UPDATE))
_BEGIN = (CLIENT, encode.query(b"BEGIN"))
_EXECUTED = (CLIENT, encode.execute(b"") + SYNC)
_PARSED = (CLIENT, encode.parse(b"s", b"SELECT $1") + SYNC)
_AGAIN = (CLIENT, encode.bind(b"", b"s", (b"7",)) + _EXECUTED[1])
_UNNAMED = (CLIENT, bound(b"SELECT $1", values=(b"7",)) + SYNC)
_REBOUND = (CLIENT, encode.bind(b"", b"", (b"7",)) + _EXECUTED[1])
_ANSWER = ROW_DESCRIPTION + data_row(b"1") + encode.command_complete(b"SELECT 1")
_READY = encode.ready_for_query(ord("I"))
SEEDS: Final[dict[str, tuple[bytes, ...]]] = {
    "codec": (b"SELECT 1\0", b"a\0b\0\0\1\0\0\0\1\0\0\0\1x\0\0", b"SERROR\0C42601\0Mno\0\0"),
    "framing": (b"\3" + encode.query(b"SELECT 1") + SYNC, b"\1" + bound(b"SELECT 1") + SYNC),
    "startup": (b"\xff" + (len(_HELLO) + 4).to_bytes(4, "big") + _HELLO, b"\x08\0\0\0\x08\x04\xd2\x16\x2f"),
    "scram": (b"n,,n=,r=client-nonce-0123456789\nc=biws,r=client-nonce-0123456789server-nonce-0123456789,p=AAAA",),
    "session": (
        b"\x7f" + bound(_UPDATE) + SYNC + encode.query(b"SELECT 1"),
        b"\x05" + encode.parse(b"a", _UPDATE) + encode.bind(b"b", b"a") + encode.execute(b"b") + SYNC,
        b"\x40" + encode.query(b"BEGIN") + encode.query(_UPDATE) + encode.query(b"PREPARE q AS SELECT 1"),
        b"\x20" + encode.query(b"PREPARE q AS SELECT 1") + encode.parse(b"q", _UPDATE) + encode.query(b"EXECUTE q"),
    ),
    "server": (encode.PARSE_COMPLETE_MESSAGE + encode.BIND_COMPLETE_MESSAGE + encode.ready_for_query(ord("I")),),
    "lane": (
        b"\0" + written(_ASKED, 255, _ASKED, _ASKED, 3, 7, 255, _WRITE, 255, _ASKED, 255),
        b"\2" + written(_PARSED, 255, _AGAIN, 255, _AGAIN, 9, 255, _UNNAMED, _AGAIN, 255, 255, _UNNAMED, 5, 255),
        b"\0" + written(_UNNAMED, 255, _REBOUND, 255, _ASKED, 255, _REBOUND, 255),
        b"\0" + written((CLIENT, _UNNAMED[1][:20]), (CLIENT, _UNNAMED[1][20:]), 255, _UNNAMED, (CLIENT, b"Q"), 255),
        b"\0" + written(_ASKED, (SERVER, _ANSWER + _READY), _ASKED, (SERVER, _ANSWER[:-9]), (SERVER, _ANSWER[-9:])),
        b"\0" + written(_ASKED, (SERVER, _ANSWER + encode.ready_for_query(ord("T"))), _ASKED),
        b"\0"
        + written(
            _PARSED, 255, _AGAIN, (SERVER, encode.BIND_COMPLETE_MESSAGE + _ANSWER[len(ROW_DESCRIPTION) :] + _READY)
        ),
        b"\0" + written(_ASKED, (CLIENT, encode.TERMINATE_MESSAGE), 255),
        b"\1" + written(_BEGIN, 255, _ASKED, 255, _PARSED, 255, _AGAIN, 255, _UNNAMED, 255, _EXECUTED, 255),
        b"\3" + written(_BEGIN, 255, _ASKED, 255, _UNNAMED, 255, _EXECUTED, 255),
    ),
    "classifier": (b"SELECT a FROM b WHERE c = 'd'", b"WITH x AS (DELETE FROM t RETURNING 1) SELECT * FROM x", b"\xff"),
}
"""Where mutations begin, by target."""
