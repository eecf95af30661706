"""Builds the compiled twins (`edge_agent/native.py`) with the wheel, where there is a C compiler.

Without one, or with TWOKEYS_PURE set, the wheel is pure, which is said in a line. `python hatch_build.py` builds in
place, for a checkout.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.config import BuilderConfig
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).parent
SOURCE = ROOT / "edge_agent" / "_native.c"
NAME = "_native.abi3.so"
FLAGS = (
    "-O2", "-fPIC", "-std=c11", "-Wall", "-Wextra", "-fstack-protector-strong", "-D_FORTIFY_SOURCE=2",
    "-DPy_LIMITED_API=0x030b0000",
)  # fmt: skip


def compile_into(folder: Path, *extra: str) -> bool:
    """Compile into a folder. False, and a line of why, where it can't be done.

    Args:
        folder: Where the module is put.
        extra: More flags for the compiler.
    """
    if os.environ.get("TWOKEYS_PURE"):
        return _said("TWOKEYS_PURE is set")
    command = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    found = shutil.which(command[0]) or shutil.which("cc")
    if found is None:
        return _said("there is no C compiler")
    include = sysconfig.get_path("include")
    if not Path(include, "Python.h").exists():
        return _said("Python's C headers are not installed (Debian: python3-dev)")
    target = folder / NAME
    # One of an older source is none.
    target.unlink(missing_ok=True)
    unfinished = target.with_suffix(".tmp")
    shared = ("-bundle", "-undefined", "dynamic_lookup") if sys.platform == "darwin" else ("-shared",)
    whole = [found, *command[1:], *FLAGS, *shared, *extra, f"-I{include}", str(SOURCE), "-o", str(unfinished)]
    done = subprocess.run(whole, capture_output=True, text=True, check=False)  # noqa: S603 (what Python names)
    if done.returncode:
        return _said(f"it does not compile:\n{done.stderr}")
    unfinished.replace(target)
    return True


def _said(why: str) -> bool:
    said = "twokeys: built without its compiled module, which is slower and otherwise the same"
    print(f"{said}: {why}.", file=sys.stderr)
    return False


class CustomBuildHook(BuildHookInterface[BuilderConfig]):
    """See https://hatch.pypa.io/latest/plugins/build-hook/custom/"""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and name the wheel after what is in it."""
        if not compile_into(SOURCE.parent):
            return
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["artifacts"].append(f"/edge_agent/{NAME}")
        build_data["pure_python"] = False
        build_data["tag"] = f"cp311-abi3-{platform}"


if __name__ == "__main__":
    raise SystemExit(not compile_into(SOURCE.parent))
