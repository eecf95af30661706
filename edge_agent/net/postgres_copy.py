"""Data of a COPY FROM STDIN that is held: kept on disk for as long as people look at it, then given to the server once.

They lie in a file without a name that nobody else can open, encrypted with a key that is in no file: what a crash or
a stolen disk leaves is noise. As they are given back they are digested once more; data that are not the ones held
end in CopyFail.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, Final, assert_never

from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CTR

from edge_agent.net.wire import Wire, WireLost
from edge_agent.protocols.postgres import events
from edge_agent.protocols.postgres.session import Session
from edge_agent.recorder.disk import DiskWatch
from twokeys.copy_data import CopyData
from twokeys.digest import Json, canonical
from twokeys.errors import Unavailable

IN_MEMORY_BYTES: Final = 256 * 1024
"""Data up to this size never reach the disk."""

CHUNK_BYTES: Final = 64 * 1024
"""Data are given back in messages of this size."""

DEFAULT_ROOM_BYTES: Final = 2 * 2**30

CopyEffect = events.StageBegun | events.Staged | events.StageDropped | events.SendStaged | events.Copied


class CopyRoom:
    """How much the held COPYs of all sessions keep together.

    Args:
        folder: Where; None for the system's folder for temporary files.
        most: Bytes.
        low: Free bytes of that disk which stay untouched: the journal may lie there too.
    """

    def __init__(self, folder: Path | None = None, most: int = DEFAULT_ROOM_BYTES, low: int = 0) -> None:
        self.directory, self._most = str(folder) if folder is not None else None, most
        self._disk = DiskWatch(folder or Path(tempfile.gettempdir()), low, low)
        self.used = 0

    def take(self, size: int) -> None:
        """Count so many bytes more. Raises Unavailable when there is no room."""
        if self.used + size > self._most:
            raise _no_room("this edge keeps as many bytes of held COPYs as it may")
        if not self._disk.room_for(size, time.monotonic()):
            raise _no_room("the edge's disk is nearly full")
        self.used += size


class StagedData:
    """The data of one COPY: written once, read once."""

    def __init__(self, room: CopyRoom) -> None:
        self._room, self._size = room, 0
        self._cipher = Cipher(AES256(secrets.token_bytes(32)), CTR(secrets.token_bytes(16)))
        self._encryptor: CipherContext = self._cipher.encryptor()
        self._file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES, dir=room.directory)  # noqa: SIM115

    def write(self, data: bytes) -> None:
        """Keep the next bytes. Raises Unavailable when there is no room."""
        self._room.take(len(data))
        self._size += len(data)
        try:
            self._file.write(self._encryptor.update(data))
        except OSError as error:
            raise _no_room(f"the data of a held COPY can't be kept ({error.strerror})") from error

    def read(self) -> Iterator[bytes]:
        """All bytes from the beginning. Raises OSError."""
        decryptor = self._cipher.decryptor()
        self._file.seek(0)
        while data := self._file.read(CHUNK_BYTES):
            yield decryptor.update(data)

    def close(self) -> None:
        """Forget the data."""
        self._room.used -= self._size
        self._size = 0
        self._file.close()


class CopyDesk:
    """The held or passing COPY of one session; there is one at a time.

    Args:
        room: Shared by all sessions.
        session: The core.
        settle: Moves what the core has to say to journal and wires.
        spawn: Runs a task of the session.
    """

    def __init__(
        self,
        room: CopyRoom,
        session: Session,
        settle: Callable[[], None],
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self._room, self._session, self._settle, self._spawn = room, session, settle, spawn
        self._data: StagedData | None = None
        self._held: tuple[int, CopyData] | None = None
        self._passed: CopyData | None = None

    def act(self, effect: CopyEffect, server: Wire) -> None:
        """Act on an effect of the core."""
        match effect:
            case events.StageBegun():
                self.close()
                self._data = StagedData(self._room)
            case events.Staged():
                self._keep(b"".join(effect.parts))
            case events.StageDropped():
                self.close()
            case events.SendStaged():
                self._spawn(self._give_back(effect.ticket, server))
            case events.Copied():
                self._passed = effect.copy
            case _:
                assert_never(effect)

    def hold(self, ticket: int, copy: CopyData | None) -> None:
        """The Command of this ticket waits; with the data that were staged where it has any."""
        self._passed = None
        self._held = None if copy is None else (ticket, copy)

    def forget(self, ticket: int) -> None:
        """It waits no more."""
        if self._held is not None and self._held[0] == ticket:
            self.close()

    def body(self) -> bytes | None:
        """Of the Record of a COPY that passed through: what it was of; None for anything else."""
        passed, self._passed = self._passed, None
        copied: dict[str, Json] = {} if passed is None else {"copy": passed.to_json()}
        return canonical(copied) if copied else None

    def close(self) -> None:
        """Forget what is staged."""
        data, self._data, self._held = self._data, None, None
        if data is not None:
            data.close()

    def _keep(self, data: bytes) -> None:
        if self._data is None:
            return
        try:
            self._data.write(data)
        except Unavailable as error:
            self.close()
            self._session.refuse_data(error.happened)

    async def _give_back(self, ticket: int, server: Wire) -> None:
        failure = "twokeys: the staged data are not the ones that were held"
        if self._data is not None and self._held is not None and self._held[0] == ticket:
            digest = hashlib.sha256()
            try:
                for chunk in self._data.read():
                    if not self._session.send_data(ticket, chunk):
                        return
                    digest.update(chunk)
                    self._settle()
                    # Others have their turn too, and the server its time.
                    await (server.drain() if server.congested else asyncio.sleep(0))
            except WireLost:
                return
            except (OSError, ValueError):
                # The file broke, or is closed: the session is over, or its end is near.
                digest = hashlib.sha256(b"unread")
            if self._held is not None and digest.hexdigest() == self._held[1].sha256:
                failure = ""
        self._session.end_data(ticket, failure)
        self._settle()


def _no_room(why: str) -> Unavailable:
    return Unavailable(why, not_done="Nothing was held.", advice="Copy less at once.", code="copy_room")
