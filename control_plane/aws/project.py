"""The folder that `chalice package` and `chalice deploy` run in: what the functions need, and nothing else.

    control_plane/  ──copy──▶  build/lambda/   app.py · chalicelib (without the embedded adapters)
                                               vendor/twokeys, vendor/<packages> (`packages`)
                                               .chalice ──link──▶ control_plane/.chalice

Chalice packs whatever lies in `chalicelib`. The embedded issuer and its passphrases have no business on Lambda, and
what is not there can't be configured there.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

from twokeys.errors import InvalidInput, Refused

EMBEDDED: Final = ("chalicelib", "adapters", "embedded")
"""What stays out."""

MARK: Final = ".twokeys-project"
"""Says that a folder was made here, and may be made anew."""

_OUT: Final = frozenset({"__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache"})


def make_project(source: Path, target: Path) -> list[str]:
    """Make the folder anew.

    Args:
        source: The Chalice project of the checkout.
        target: The folder; must be new, or one that was made before.

    Returns:
        The modules that are in it, by path below the folder, sorted.

    Raises:
        Refused: when the target holds something else.
        InvalidInput: when the link to the shared language was checked out as a text file.
    """
    language = source / "vendor" / "twokeys"
    if not (language / "__init__.py").is_file():
        raise InvalidInput(f"{language} is no folder: the link was checked out as a text file.",
                           not_done="Nothing was made.", advice="Check out with links: git config core.symlinks true.",
                           code="no_link")  # fmt: skip
    if target.is_symlink() or (target.exists() and not (target / MARK).is_file() and any(target.iterdir())):
        raise Refused(f"{target} holds something else.", not_done="Nothing was made.", advice="Name another folder.",
                      code="not_empty")  # fmt: skip
    if target.exists():
        _clear(target)
    target.mkdir(parents=True, exist_ok=True)
    (target / MARK).touch()
    shutil.copyfile(source / "app.py", target / "app.py")
    # What Chalice would install by itself lies in `vendor` already (`packages`).
    (target / "requirements.txt").touch()
    shutil.copytree(source / "chalicelib", target / "chalicelib", ignore=_ignored(source))
    shutil.copytree(language, target / "vendor" / "twokeys", ignore=_ignored(source))
    # Chalice keeps here what it deployed, and looks here for policies: one place, whichever folder it runs in.
    (target / ".chalice").symlink_to(source / ".chalice", target_is_directory=True)
    return sorted(
        str(path.relative_to(target)) for name in ("chalicelib", "vendor") for path in (target / name).rglob("*.py")
    )


def _ignored(source: Path) -> Callable[[str, list[str]], set[str]]:
    embedded = source.joinpath(*EMBEDDED)

    def ignore(folder: str, names: list[str]) -> set[str]:
        return {name for name in names if name in _OUT or Path(folder) / name == embedded or name.endswith(".pyc")}

    return ignore


def _clear(target: Path) -> None:
    (target / ".chalice").unlink(missing_ok=True)
    for name in ("chalicelib", "vendor"):
        if (target / name).exists():
            shutil.rmtree(target / name)
