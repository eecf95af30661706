"""Recordings on AWS at their limits: parts as long as they may be, no room on the disk, two sealers at once."""

from __future__ import annotations

import gc
import hashlib
import resource
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from control_plane.chalicelib.adapters.aws.objects import Bucket
from control_plane.chalicelib.adapters.aws.recordings import S3Recordings
from control_plane.chalicelib.ports.recordings import MAX_PART_BYTES, Published, Sealed
from tests.control_plane.ports.aws_backend import AwsBackend, backend
from tests.control_plane.ports.storage_suites import RecordingsSuite
from twokeys.errors import Conflict, InvalidInput, Unavailable

__all__ = ["backend"]

MOST_MEMORY_BYTES: Final = 48 * 1024 * 1024
"""What reading the longest part may take of memory of its own; the part is mapped from the disk."""


def recordings_of(backend: AwsBackend) -> S3Recordings:
    found = backend.ports.recordings
    assert isinstance(found, S3Recordings)
    return found


def uploaded(backend: AwsBackend, first: int, last: int, sessions: list[str] | None = None) -> Sealed:
    sealed = RecordingsSuite.sealed(first, last, sessions)
    backend.ports.recordings.put("lines", sealed.segment, b"lines")
    return sealed


@contextmanager
def meanwhile(client: Any, operation: str, other: Callable[[], object]) -> Iterator[list[object]]:
    """Just before the first call of an operation, something else happens, once; yields what came of it."""
    came: list[object] = []
    event = f"before-call.{client.meta.service_model.service_name}.{operation}"

    def step_in(**_more: object) -> None:
        if not came:
            came.append("begun")
            came.append(other())

    client.meta.events.register(event, step_in)
    try:
        yield came
    finally:
        client.meta.events.unregister(event, step_in)


def own_memory_bytes() -> int:
    """Memory of this process that no file backs (Linux)."""
    (line,) = [one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith("RssAnon:")]
    return int(line.split()[1]) * 1024


@contextmanager
def longest_file(length: int) -> Iterator[None]:
    """No file of this process grows over this length: what a full disk is to who writes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (length, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.slow
def test_the_longest_part_is_read_without_holding_it_in_memory(backend: AwsBackend) -> None:
    backend.ports.recordings.put("bodies", "e-1-000000000001", secrets.token_bytes(1024) * (MAX_PART_BYTES // 1024))
    gc.collect()
    before = own_memory_bytes()
    part = backend.ports.recordings.part("bodies", "e-1-000000000001")
    assert part is not None
    assert len(part) == MAX_PART_BYTES
    assert len(hashlib.sha256(part).hexdigest()) == 64
    assert own_memory_bytes() - before < MOST_MEMORY_BYTES


def test_a_part_that_has_no_room_on_the_disk_is_not_read(backend: AwsBackend) -> None:
    backend.ports.recordings.put("bodies", "e-1-000000000001", bytes(512 * 1024))
    with longest_file(256 * 1024), pytest.raises(Unavailable, match="function's disk"):
        backend.ports.recordings.part("bodies", "e-1-000000000001")
    part = backend.ports.recordings.part("bodies", "e-1-000000000001")
    assert part is not None
    assert len(part) == 512 * 1024


def test_a_full_disk_says_what_to_give_the_function(
    backend: AwsBackend, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    backend.ports.recordings.put("lines", "e-1-000000000001", b"lines")

    class Full:
        def __enter__(self) -> Full:
            raise OSError(28, "No space left on device")

        def __exit__(self, *_more: object) -> None:
            raise AssertionError("never entered")

    monkeypatch.setattr("control_plane.chalicelib.adapters.aws.objects.tempfile.TemporaryFile", Full)
    with pytest.raises(Unavailable) as told:
        Bucket(backend.clients, backend.settings.incoming_bucket).mapped("lines/e-1-000000000001")
    assert (told.value.code, "ephemeral storage" in told.value.advice) == ("no_room", True)


@pytest.mark.parametrize("operation", ["TransactWriteItems", "UpdateItem", "GetItem"])
def test_two_sealers_of_one_segment_keep_one_seal(backend: AwsBackend, operation: str) -> None:
    """The routes were called twice: each has verified and signed for itself, and one of them is first."""
    first = uploaded(backend, 1, 3, ["s"])
    second = msgspec.structs.replace(first, signature="b3RoZXI=")
    recordings, dynamodb = recordings_of(backend), backend.clients.of("dynamodb")
    with meanwhile(dynamodb, operation, lambda: recordings.add_seal(second)) as came:
        kept = recordings.add_seal(first)
    if came:
        assert came == ["begun", kept]
    assert recordings.seal(first.segment) == kept
    assert recordings.segments_of("s") == [kept]
    assert recordings.publish_unfinished() == Published(0)


def test_two_sealers_of_different_segments_keep_the_one_that_follows(backend: AwsBackend) -> None:
    """An Edge that was copied seals the same Records cut elsewhere: one chain, so one of them."""
    short, long = uploaded(backend, 1, 3, ["s"]), uploaded(backend, 1, 5, ["s"])
    long = msgspec.structs.replace(long, segment="e-1-000000000001b")
    backend.ports.recordings.put("lines", long.segment, b"lines")
    recordings, dynamodb = recordings_of(backend), backend.clients.of("dynamodb")
    with meanwhile(dynamodb, "TransactWriteItems", lambda: recordings.add_seal(long)), pytest.raises(Conflict):
        recordings.add_seal(short)
    assert recordings.last_seal("e-1") == long
    assert recordings.segments_of("s") == [long]


def test_as_many_sessions_as_a_segment_may_have_are_kept(backend: AwsBackend) -> None:
    sessions = sorted(f"ses_{secrets.token_hex(12)}" for _ in range(10_000))
    sealed = uploaded(backend, 1, 3, sessions)
    recordings = recordings_of(backend)
    recordings.add_seal(sealed)
    assert recordings.segments_of(sessions[9_999]) == [sealed]


def test_session_ids_too_long_to_be_kept_are_refused_before_anything_is_sealed(backend: AwsBackend) -> None:
    sealed = uploaded(backend, 1, 3, sorted(secrets.token_hex(64) for _ in range(10_000)))
    with pytest.raises(InvalidInput, match="too long"):
        recordings_of(backend).add_seal(sealed)
    assert recordings_of(backend).seal(sealed.segment) is None
    assert recordings_of(backend).segments_of(sealed.sessions[-1]) == []
