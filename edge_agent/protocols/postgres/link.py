"""The server's side of a session: what was sent, what it must answer, what of that the client sees.

Rules:
  1. Bytes that make the server run a client's text are appended by `Link.forward` alone, which spends a Pass; what goes
     by the lane is written by the shell, for a Pass that `lane` spends.
  2. `status` is the server's own word, the last ReadyForQuery's, and exact whenever nothing is expected.
  3. A report that the read-only default is off, which we did not cause, or of another encoding or string syntax, is an
     alarm: the session ends and nothing more is forwarded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from edge_agent.classify.settings import hides_builtins
from edge_agent.gate import Pass
from edge_agent.mask.owed import Masks
from edge_agent.mask.spoken import without_values
from edge_agent.protocols.postgres import encode, sqlstate
from edge_agent.protocols.postgres import server_messages as server
from edge_agent.protocols.postgres.expect import (
    EXECUTED,
    HIDDEN_SYNC,
    QUERY,
    QUERY_TAKES,
    SYNC,
    Answer,
    Expected,
    hidden_commands,
    is_read,
    is_read_query,
)
from edge_agent.protocols.postgres.framing import Span, Splitter
from edge_agent.protocols.postgres.limits import WireLimits
from edge_agent.protocols.postgres.masking import Unmaskable
from edge_agent.protocols.postgres.pipeline import SessionLimits
from edge_agent.protocols.postgres.told import ASIDE, MAY_PAUSE, Told
from twokeys.errors import InvalidInput

IDLE, IN_TRANSACTION, FAILED = b"ITE"
READ_ONLY_DEFAULT = b"default_transaction_read_only"
HIDDEN_BUILTINS = "The session's search_path hides built-in names: every text would mean something else."
_OPENS = frozenset((server.ROW_DESCRIPTION, server.COPY_OUT))
_READ_ONLY = sqlstate.READ_ONLY_TRANSACTION.encode()


class Broken(Exception):
    """The session must end. `alarm`: a guard was found broken."""

    def __init__(self, reason: str, *, alarm: bool = False) -> None:
        super().__init__(reason)
        self.alarm = alarm


class Link:
    """One session's server. See the module's rules."""

    def __init__(self, wire: WireLimits, limits: SessionLimits, application_name: bytes) -> None:
        self._splitter = Splitter(wire.server_table, b"Dd")
        self._hidden_bytes = limits.hidden_bytes
        self._expected: deque[Expected] = deque()
        self._to_server: list[bytes] = []
        self._to_client: list[bytes] = []
        self._aside: list[bytes] | None = None
        self.overflowed = False
        """Not all that was kept aside could be kept."""
        self._kept = b""
        self.status = IDLE
        self.unanswered = 0
        """Queries and Syncs whose ReadyForQuery is still to come."""
        self.failed = False
        """The client's Sync group has failed: what follows is skipped up to its Sync."""
        self.bracket = False
        """We ourselves have the read-only default off."""
        self.read_only_default = True
        """By the server's report."""
        self.search_path: bytes | None = None
        """By the server's report, once it changes; PostgreSQL 18 reports it."""
        self.application_name = application_name
        self.copy_in = False
        """The server takes CopyData; reset by whoever sends the COPY."""
        self.last_error: dict[str, bytes] = {}
        """Fields of the last error, whoever saw it."""
        self.doubted: Callable[[Expected, dict[str, bytes], bool], bool] | None = None
        """Told of a read that writes by the server's word, what it answers, and whether some of its answer went out.
        True: the client is not to know, yet."""
        self.advice = b""
        """A hint for the client, to go with the next error that says that a read writes."""
        self.masks: Masks | None = None
        """What this session's caller is not to see; nothing where there is none."""
        self._instead = b""
        """What the client sees of the message just taken."""
        self._told = Told()
        self._cut: Span | None = None
        self._opened_at = 0
        """Where, in what the client is sent, the last RowDescription of a masked result is."""

    # towards the server

    def forward(self, permission: Pass, data: bytes, expected: Expected) -> None:
        """Send what makes the server run a client's text. Raises Refused for a Pass that was used."""
        if type(permission) is not Pass:
            raise TypeError("a forward needs a Pass")
        permission.spend()
        self.send(data, expected)

    def forward_query(self, permission: Pass, query: bytes, expected: Iterable[Expected]) -> None:
        """The same for a Query of several statements, of which the client sees not all. Raises as `forward`."""
        first, *others = expected
        self.forward(permission, query, first)
        self._expected.extend(others)
        self.unanswered += 1

    def await_answers(self, expected: Iterable[Expected]) -> None:
        """What the lane has forwarded is answered here: Queries, and groups with their Syncs."""
        several = tuple(expected)
        self._expected.extend(several)
        self.unanswered += sum(one.ready for one in several)

    def send(self, data: bytes, expected: Expected | None) -> None:
        """Send anything else; a Query or Sync when `expected` is a ready one."""
        self._to_server.append(data)
        if expected is not None:
            self._expected.append(expected)
            self.unanswered += expected.ready

    def send_hidden(self, commands: bytes, count: int, answer: Answer | None) -> None:
        """Send commands of our own, without Sync. Without `answer` their error is the client's."""
        self.send(commands, hidden_commands(count, answer))

    def sync(self) -> None:
        """Send a Sync of our own."""
        self.send(encode.SYNC_MESSAGE, HIDDEN_SYNC)

    # towards the client

    def say(self, data: bytes) -> None:
        """Send the client a message of our own. Raises Broken in the middle of a row."""
        if self._splitter.mid_message:
            raise Broken("A message had to be said in the middle of a row.")
        (self._to_client if self._aside is None else self._aside).append(data)

    @property
    def mid_message(self) -> bool:
        """Whether the client has a part of a row or CopyData."""
        return self._splitter.mid_message

    def release_kept(self) -> None:
        """Let the client have what was kept back."""
        if self._kept:
            self._to_client.append(self._kept)
            self._kept = b""

    def drop_kept(self) -> None:
        """Forget what was kept back."""
        self._kept = b""

    def set_aside(self) -> None:
        """Keep back all that the server answers the client from now on; what we say ourselves still passes."""
        self._aside, self._to_client = self._to_client, []
        self.overflowed = False

    def bring_back(self, *, drop: bool = False) -> None:
        """Let the client have what was kept aside, or drop it."""
        if self._aside is not None:
            self._to_client = self._aside + ([] if drop else self._to_client)
            self._aside = None

    def _bound_aside(self) -> None:
        if sum(map(len, self._to_client)) > self._hidden_bytes:
            self._to_client.clear()
            self.overflowed = True

    def take_to_server(self) -> bytes:
        """All bytes for the server since the last call."""
        data = b"".join(self._to_server)
        self._to_server.clear()
        return data

    def take_to_client(self) -> bytes:
        """All bytes for the client since the last call."""
        if self._aside is not None:
            data = b"".join(self._aside)
            self._aside.clear()
            return data
        data = b"".join(self._to_client)
        self._to_client.clear()
        return data

    def forget_unsent(self) -> None:
        """Drop what the shell has not taken yet for the server."""
        self._to_server.clear()

    # answers

    @property
    def quiet(self) -> bool:
        """Whether everything sent is answered."""
        return not self._expected

    @property
    def at_rest(self) -> bool:
        """Whether nothing is under way in either direction, and nothing is kept."""
        if self._expected or self.unanswered or self.failed or self.bracket or self._splitter.pending:
            return False
        kept = self._to_server or self._to_client or self._kept or self._told.opening or self.mid_message
        return self._aside is None and not kept

    def count_ahead(self, wanted: Callable[[Expected], bool]) -> int:
        """How many of these are expected before the next ReadyForQuery."""
        count = 0
        for expected in self._expected:
            if expected.ready:
                break
            count += wanted(expected)
        return count

    @property
    def showing(self) -> bool:
        """Whether the client waits for the server."""
        return any(not expected.hidden for expected in self._expected)

    def feed(self, data: bytes) -> None:
        """Take bytes from the server. Raises Broken when the session must end."""
        try:
            spans = self._told.spans = self._splitter.feed(data)
            buffer, run, stop = self._splitter.buffer, -1, 0
            if self._told.opening and spans:
                self._resume()
            waiting = self._expected
            for kind, start, end in spans:
                if waiting and waiting[0].plain and kind in waiting[0].ends:
                    waiting.popleft()
                elif not self._take(kind, buffer, start, end):
                    if run >= 0:
                        self._to_client.append(self._without(buffer, run, stop) if self._cut else buffer[run:stop])
                        run = -1
                    if self._instead:
                        if kind in _OPENS:
                            self._opened_at = len(self._to_client)
                        self._to_client.append(self._instead)
                        self._instead = b""
                    continue
                if run < 0:
                    run = start
                stop = end
            if spans:
                if kind in MAY_PAUSE:
                    run = self._pause(buffer, run, stop)
                else:
                    self._told.before = kind
            if run >= 0:
                self._to_client.append(buffer[run:stop])
            if self._aside is not None:
                self._bound_aside()
        except InvalidInput as error:
            raise Broken(f"The server broke the protocol: {error.happened}") from error
        except Unmaskable as error:
            raise Broken(str(error)) from error

    def _take(self, kind: int, buffer: bytes, start: int, end: int) -> bool:
        """Take one message; True when the client sees it as it is."""
        expected = self._expected[0] if self._expected else None
        if expected is None or kind in b"ENSA":
            return self._rare(kind, expected, buffer, start, end)
        ends = kind in expected.ends
        if not ends and kind not in expected.takes:
            raise Broken(f"The server answered {chr(kind)!r} where it can't.")
        if (expected.answer is not None or expected.keep) and kind != server.READY_FOR_QUERY:
            self._note(kind, expected, buffer, start, end)
        if ends:
            self._end(expected, buffer, start, end)
        if expected.hidden or kind in expected.hides:
            if expected.mask is not None:
                shown = expected.mask.take(kind, buffer, start, end)
                self._instead = b"" if expected.hidden else shown
            return False
        return True

    def _end(self, expected: Expected, buffer: bytes, start: int, end: int) -> None:
        if expected.left > 1:
            expected.left -= 1
            return
        self._expected.popleft()
        if expected.ready:
            self.status = server.read_ready(buffer, start, end)
            self.unanswered -= 1
        if expected.done is not None and (expected.answer is None or expected.answer.error is None):
            expected.done()

    def _note(self, kind: int, expected: Expected, buffer: bytes, start: int, end: int) -> None:
        if expected.keep:
            # A later result of the same text: the one kept back was not its last.
            self.release_kept()
            if kind == server.COMMAND_COMPLETE:
                self._kept = buffer[start:end]
        answer = expected.answer
        if answer is None:
            return
        if kind == server.COMMAND_COMPLETE:
            answer.tags.append(server.read_command_complete(buffer, start, end))
        elif kind == server.COPY_IN:
            self.copy_in = True
        elif kind == server.PARAMETER_DESCRIPTION:
            answer.types = server.read_parameter_description(buffer, start, end)
        elif kind == server.DATA_ROW and expected.hidden:
            if answer.most and len(answer.rows) + end - start > answer.most:
                answer.dropped = True
                return
            answer.rows += buffer[start:end]
            if len(answer.rows) > self._hidden_bytes:
                raise Broken("The server's answer to a question of our own is too long.")

    def _rare(self, kind: int, expected: Expected | None, buffer: bytes, start: int, end: int) -> bool:
        match kind:
            case server.ERROR_RESPONSE:
                return self._error(expected, buffer, start, end)
            case server.NOTICE_RESPONSE:
                if expected is not None and expected.hidden:
                    return False
                return self._is_said(kind, server.read_fields(buffer, start, end))
            case server.NOTIFICATION_RESPONSE:
                return True
            case server.PARAMETER_STATUS:
                return self._reported(server.read_parameter_status(buffer, start, end))
            case _:
                raise Broken(f"The server sent {chr(kind)!r} unasked.")

    def _error(self, expected: Expected | None, buffer: bytes, start: int, end: int) -> bool:
        fields = server.read_fields(buffer, start, end)
        if self.masks is not None and self.masks.owes:
            # Whoever remembers them (a record, an answer of ours) has no values either.
            fields = without_values(fields)
        self.last_error = fields
        if expected is None:
            # The server ends the session by its own will: a shutdown, a timeout, an administrator.
            return self._is_said(server.ERROR_RESPONSE, fields)
        if self.doubted is not None and fields.get("C") == _READ_ONLY and self._is_taken_back(expected, fields, start):
            return False
        shown = not expected.hidden or expected.answer is None
        if expected.answer is not None:
            expected.answer.error = fields
        if expected.keep:
            self.release_kept()
        if not expected.ready:
            self._skip(shown=shown)
        elif expected is HIDDEN_SYNC:
            self.failed = True
        if shown and self.advice and fields.get("C") == _READ_ONLY:
            fields, self.advice = {**fields, "H": self.advice}, b""
            self._instead = encode.fields_message(b"E", fields)
            return False
        return shown and self._is_said(server.ERROR_RESPONSE, fields)

    def _is_said(self, kind: int, fields: dict[str, bytes]) -> bool:
        """True when the client may have the server's words; else it gets those that hold no values."""
        if self.masks is None or not self.masks.owes:
            return True
        self._instead = encode.fields_message(bytes((kind,)), without_values(fields))
        return False

    def _skip(self, *, shown: bool) -> None:
        """Drop what the server skips after an error: everything up to the next Sync."""
        skipped: list[Expected] = []
        while self._expected and not self._expected[0].ready:
            skipped.append(self._expected.popleft())
        for expected in reversed(skipped):
            if expected.undo is not None:
                expected.undo()
        if shown and (not self._expected or self._expected[0].hidden):
            self.failed = True

    # a read that writes: see `told` and `rewind`

    def _is_taken_back(self, expected: Expected, fields: dict[str, bytes], start: int) -> bool:
        """Whether the session sees to it: then neither the error nor the end of its group is shown."""
        simple = is_read_query(expected)
        if self.doubted is None or not (simple or is_read(expected)):
            return False
        cut = self._told.of_query(start) if simple else self._told.of_execute(start)
        if not self.doubted(expected, fields, cut is False):
            return False
        if cut and expected.mask is not None:
            self._to_client[self._opened_at] = b""
        elif not isinstance(cut, bool):
            self._cut = cut
            if self._told.resumed is self._told.spans:
                self._to_client[self._told.resumed_at] = b""
        if simple:
            self._expected[0] = Expected(QUERY_TAKES, b"Z", hidden=True)
        else:
            self._skip(shown=False)
            if self._expected and self._expected[0] is SYNC:
                self._expected[0] = HIDDEN_SYNC
        return True

    def _without(self, buffer: bytes, run: int, stop: int) -> bytes:
        """These bytes without the message that is taken back."""
        _, start, end = self._cut or (0, stop, stop)
        self._cut = None
        return buffer[run:start] + buffer[end:stop]

    def _pause(self, buffer: bytes, run: int, stop: int) -> int:
        """The chunk ends with a RowDescription or an aside: keep back what an error may have to take back."""
        told = self._told
        opened = told.opened()
        front = self._expected[0] if self._expected else None
        if opened is None or (front is not QUERY and front is not EXECUTED) or not 0 <= run <= opened[1]:
            return run
        told.before, told.opening = server.READY_FOR_QUERY, buffer[opened[1] : opened[2]]
        self._to_client.append(buffer[run : opened[1]])
        return opened[2] if opened[2] < stop else -1

    def _resume(self) -> None:
        """When the answer goes on, what was kept back comes before it."""
        told = self._told
        if any(kind not in ASIDE for kind, _, _ in told.spans):
            told.resumed, told.resumed_at = told.spans, len(self._to_client)
            self._to_client.append(told.opening)
            told.opening = b""

    def _reported(self, status: server.ParameterStatus) -> bool:
        name, value = status.name, status.value
        if name == READ_ONLY_DEFAULT:
            self.read_only_default = value == b"on"
            if not self.read_only_default and not self.bracket:
                raise Broken("The server reports that new transactions may write.", alarm=True)
            return False
        if (name == b"standard_conforming_strings" and value != b"on") or (
            name == b"client_encoding" and value != b"UTF8"
        ):
            raise Broken(f"The server reports {name.decode()}={value[:40].decode('utf-8', 'replace')}.", alarm=True)
        if name == b"application_name":
            self.application_name = value
        elif name == b"search_path":
            if hides_builtins(value.decode("utf-8", "replace")):
                raise Broken(HIDDEN_BUILTINS, alarm=True)
            self.search_path = value
        return True
