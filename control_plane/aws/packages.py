"""The packages that the functions run, laid into the project before Chalice packs it, with byte code.

    requirements.txt ──pip, by hash, for Lambda's machine──▶ vendor/     vendor/, chalicelib/ ──compile──▶ .pyc

Chalice by itself would fetch them without hashes and leave the compiling to Lambda, whose disk is read-only: every cold
start would compile 700 modules again, which takes three times as long as importing them (docs/adr/0012).
"""

from __future__ import annotations

import importlib.util
import json
import py_compile
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from twokeys.errors import InvalidInput, Unavailable

MACHINES: Final = {"arm64": "aarch64", "x86_64": "x86_64"}
"""Lambda's names of architectures, and those of wheels."""

DEFAULT_ARCHITECTURE: Final = "x86_64"
"""Chalice's, where the configuration names none."""

PIP_SECONDS: Final = 600
ON_LAMBDA: Final = "/var/task"
"""Where the package lies there: byte code names it in stack traces, and no folder of who packed it."""


def architecture_of(config: Path) -> str:
    """The architecture that Chalice's configuration names.

    Raises:
        InvalidInput: when it can't be read, or names another one than Lambda has.
    """
    try:
        named = json.loads(config.read_bytes()).get("lambda_architecture", DEFAULT_ARCHITECTURE)
    except (OSError, ValueError, AttributeError) as error:
        raise InvalidInput(f"{config} can't be read.", not_done="Nothing was made.", code="bad_config") from error
    if named not in MACHINES:
        raise InvalidInput(f"{config} names the architecture {named!r}.", not_done="Nothing was made.",
                           advice=f"Lambda has {' and '.join(MACHINES)}.", code="bad_config")  # fmt: skip
    return str(named)


def install(requirements: Path, vendor: Path, architecture: str) -> None:
    """Install what the requirements pin, wheels alone, each checked by its hash.

    Raises:
        Unavailable: when pip can't, with its last words.
    """
    # The runtimes up to Python 3.11 have glibc 2.26, so no newer tag than manylinux2014.
    machine, version = MACHINES[architecture], f"{sys.version_info.major}.{sys.version_info.minor}"
    command = [
        sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--no-compile",
        "--no-deps", "--require-hashes", "--only-binary", ":all:", "--implementation", "cp",
        "--python-version", version,
        "--platform", f"manylinux2014_{machine}", "--platform", f"manylinux_2_17_{machine}",
        "--target", str(vendor), "--upgrade", "--requirement", str(requirements),
    ]  # fmt: skip
    _run(command, "pip")
    # Programs for a person's terminal.
    shutil.rmtree(vendor / "bin", ignore_errors=True)


def compile_all(project: Path) -> None:
    """Write byte code beside every module, and for the one module that Chalice adds.

    Raises:
        Unavailable: when a module can't be compiled.
    """
    folders = [str(project / name) for name in ("chalicelib", "vendor")]
    for folder, root in zip(folders, (str(project), str(project / "vendor")), strict=True):
        # Unchecked: the package is one archive, and its sources do not change under it.
        _run([sys.executable, "-m", "compileall", "-q", "-f", "--invalidation-mode", "unchecked-hash", "-s", root,
              "-p", ON_LAMBDA, folder], "compileall")  # fmt: skip
    for name in ("chalice", "chalice.app"):
        _compile_of_chalice(name, project / "vendor")


def _compile_of_chalice(name: str, vendor: Path) -> None:
    found = importlib.util.find_spec(name)
    if found is None or found.origin is None:
        raise InvalidInput("Chalice is not installed here.", not_done="The project is not whole.",
                           advice="Install twokeys[up] where you package.", code="no_chalice")  # fmt: skip
    source = Path(found.origin)
    target = vendor / "chalice" / "__pycache__" / f"{source.stem}.{sys.implementation.cache_tag}.pyc"
    target.parent.mkdir(parents=True, exist_ok=True)
    # Checked: another Chalice may pack than was found here.
    py_compile.compile(
        str(source), str(target), f"{ON_LAMBDA}/chalice/{source.name}", doraise=True,
        invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH,
    )  # fmt: skip


def _run(command: list[str], what: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PIP_SECONDS, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{what} did not run to its end.", not_done="The project is not whole.",
                          code="not_packaged") from error  # fmt: skip
    if done.returncode:
        raise Unavailable(f"{what} failed: {done.stderr.strip()[-600:]}", not_done="The project is not whole.",
                          advice="Mend it, and make the project again.", code="not_packaged")  # fmt: skip
