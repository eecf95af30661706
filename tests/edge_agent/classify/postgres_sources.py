"""PostgreSQL's own regression tests, as Debian's source package brings them; never part of this repository."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

FETCH_SECONDS = 300
MAX_SCRIPTS = 400


def regression_scripts(folder: Path, major: int) -> list[Path]:
    """The .sql files in the order of their schedule, fetched into `folder` once. Skips where they can't be had."""
    tests = folder / "src" / "test" / "regress"
    if not (tests / "parallel_schedule").exists():
        _fetch(folder, major)
    schedule = (tests / "parallel_schedule").read_text("ascii")
    names = [name for line in re.findall(r"^test:(.*)$", schedule, re.MULTILINE) for name in line.split()]
    return [path for name in names if (path := tests / "sql" / f"{name}.sql").exists()][:MAX_SCRIPTS]


def _fetch(folder: Path, major: int) -> None:
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        pytest.skip(
            f"PostgreSQL's regression tests can't be had: apt and root are needed for postgresql-{major}'s source"
        )
    lists = folder / "lists"
    (lists / "partial").mkdir(parents=True, exist_ok=True)
    sources = folder / "sources"
    sources.mkdir(exist_ok=True)
    for found in (Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*debian*")):
        if found.is_file():
            text = re.sub(r"(?m)^(Types:\s*|)deb(?=\s)", r"\1deb-src", found.read_text("utf-8"))
            (sources / found.name).write_text(text, "utf-8")
    single = sources / "sources.list"
    ours = ["-o", f"Dir::Etc::sourceparts={sources}", "-o", f"Dir::State::lists={lists}",
            "-o", f"Dir::Etc::sourcelist={single if single.exists() else '/dev/null'}"]  # fmt: skip
    try:
        for command in (["update"], ["source", "--download-only", _wanted(major)]):
            subprocess.run(
                ["apt-get", "-qq", *ours, *command], cwd=folder, check=True, capture_output=True, timeout=FETCH_SECONDS
            )
        archive = next(folder.glob(f"postgresql-{major}_*.orig.tar.*"))
    except (subprocess.SubprocessError, StopIteration) as error:
        pytest.skip(f"PostgreSQL's regression tests can't be had: no source of postgresql-{major} came ({error})")
    with tarfile.open(archive) as tar:
        for member in tar:
            _, _, inside = member.name.partition("/")
            if inside.startswith("src/test/regress/") and member.isfile():
                place = folder / inside
                place.parent.mkdir(parents=True, exist_ok=True)
                found_file = tar.extractfile(member)
                if found_file is not None and ".." not in place.parts:
                    place.write_bytes(found_file.read())


def _wanted(major: int) -> str:
    """The source of the very version that is installed, where Debian's package says which."""
    asked = ["dpkg-query", "-W", "-f", "${Version}", f"postgresql-{major}"]
    found = subprocess.run(asked, check=False, capture_output=True, text=True, timeout=FETCH_SECONDS)
    return f"postgresql-{major}={found.stdout}" if found.returncode == 0 and found.stdout else f"postgresql-{major}"
