import mmap
from collections.abc import Callable
from hashlib import _Hash

def mask_rows(
    data: bytes, ways: bytes, mask: Callable[[int, bytes], bytes | None], unreadable: type[Exception], /
) -> bytes: ...
def run_end(data: bytes, at: int, kind: int, most: int, /) -> int: ...
def chain_record(
    digest: Callable[[bytes], _Hash],
    pieces: tuple[bytes, ...],
    cipher: bytes,
    sequence: int,
    time: str,
    before: bytes,
    first: bytes,
    bodies: mmap.mmap | bytearray,
    body_at: int,
    lines: mmap.mmap | bytearray,
    line_at: int,
    /,
) -> tuple[bytes, int, int] | None: ...
def group(data: bytes, start: int, most: int, /) -> tuple[bytes, int, bool] | None: ...
def complete(
    data: bytes, at: int, end: int, described: bool, no_data: bool, limits: tuple[int, int, int], /
) -> tuple[int, int] | None: ...
