import mmap
from collections.abc import Callable
from hashlib import _Hash

def mask_rows(
    data: bytes, ways: bytes, mask: Callable[[int, bytes], bytes | None], unreadable: type[Exception], /
) -> bytes: ...
def run_end(data: bytes, at: int, kind: int, most: int, /) -> int: ...

class Chain:
    def __init__(self, digest: Callable[[bytes], _Hash], sequence: int, hash: bytes, /) -> None: ...
    @property
    def sequence(self) -> int: ...
    @property
    def hash(self) -> bytes: ...
    def open(
        self,
        bodies: mmap.mmap | bytearray,
        body_at: int,
        lines: mmap.mmap | bytearray,
        line_at: int,
        left: int,
        until: float,
        most_body: int,
        /,
    ) -> None: ...
    def append(
        self,
        pieces: tuple[bytes, ...],
        encrypt: Callable[[bytes, bytes, bytes], bytes],
        place: bytes,
        count: int,
        text: bytes,
        bind: bytes | None,
        milliseconds: int,
        now: float,
        /,
    ) -> bool: ...
    def shut(self) -> tuple[int, int]: ...
    def move(self, sequence: int, hash: bytes, /) -> None: ...

def group(data: bytes, start: int, most: int, /) -> tuple[bytes, int, bool] | None: ...
def complete(
    data: bytes, at: int, end: int, described: bool, no_data: bool, limits: tuple[int, int, int], /
) -> tuple[int, int] | None: ...
