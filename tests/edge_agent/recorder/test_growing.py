"""A file that grows through mapped memory is, at each moment, what was appended and zeros after it."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_agent.recorder.growing import RESERVED_BYTES, GrowingFile

SIZES = st.one_of(st.integers(0, 300), st.integers(RESERVED_BYTES - 3, 2 * RESERVED_BYTES + 3))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(sizes=st.lists(SIZES, max_size=8))
def test_what_is_appended_is_in_the_file_at_once(tmp_path: Path, sizes: list[int]) -> None:
    path = tmp_path / "file"
    path.unlink(missing_ok=True)
    file, whole = GrowingFile(path), b""
    for number, size in enumerate(sizes):
        data = bytes((number + 1,)) * size
        file.append(data)
        whole += data
        found = path.read_bytes()
        assert found[: len(whole)] == whole
        assert not found[len(whole) :].strip(b"\0")
    file.sync()
    file.finish()
    file.close()
    assert path.read_bytes() == whole
    assert file.size == len(whole)


def test_a_file_that_exists_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        GrowingFile(tmp_path / "file")


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "file").symlink_to(tmp_path / "other")
    with pytest.raises(OSError):
        GrowingFile(tmp_path / "file")
    assert not (tmp_path / "other").exists()


def test_without_room_it_says_so_and_nothing_is_lost(tmp_path: Path) -> None:
    code = (
        "import sys, resource, signal; from pathlib import Path; from edge_agent.recorder.growing import *\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "file = GrowingFile(Path(sys.argv[1])); file.append(b'a' * 1000)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (RESERVED_BYTES, RESERVED_BYTES))\n"
        "try: file.append(b'b' * RESERVED_BYTES)\nexcept OSError as error: print(error.errno)\n"
    )
    path = tmp_path / "file"
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert int(done.stdout) == errno.EFBIG
    assert path.read_bytes()[:1000] == b"a" * 1000


def test_what_was_appended_survives_a_kill(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from edge_agent.recorder.growing import *\n"
        "file = GrowingFile(Path(sys.argv[1])); [file.append(b'x' * 1000) for _ in range(1000)]\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    path = tmp_path / "file"
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode == -signal.SIGKILL
    assert path.read_bytes().rstrip(b"\0") == b"x" * 1_000_000


def test_where_no_room_can_be_reserved_it_is_written(tmp_path: Path) -> None:
    """Linux's /dev/shm and ext4 can; a file system that can't is played by the errors that it gives."""

    class Unable(GrowingFile):
        def _reserved(self, start: int) -> None:
            return None

    file = Unable(tmp_path / "file")
    for size in (10, RESERVED_BYTES, 5):
        file.append(b"y" * size)
    file.finish()
    file.close()
    assert (tmp_path / "file").read_bytes() == b"y" * (RESERVED_BYTES + 15)


def test_where_room_can_be_reserved_and_not_mapped_none_is_left(tmp_path: Path) -> None:
    def unable(*given: object, **named: object) -> None:
        raise OSError(errno.ENODEV, "no maps here")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("edge_agent.recorder.growing.mmap.mmap", unable)
        file = GrowingFile(tmp_path / "file")
        for data in (b"a" * 10, b"b" * RESERVED_BYTES):
            file.append(data)
        file.finish()
        file.close()
    assert (tmp_path / "file").read_bytes() == b"a" * 10 + b"b" * RESERVED_BYTES


def test_it_is_for_its_owner_alone(tmp_path: Path) -> None:
    file = GrowingFile(tmp_path / "file")
    file.close()
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600
    assert resource.getpagesize() and RESERVED_BYTES % os.sysconf("SC_PAGE_SIZE") == 0
