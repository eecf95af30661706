"""The folder that Chalice packs: no embedded adapter, the shared language as plain files, made anew each time."""

from __future__ import annotations

import ast
import re
import shutil
from pathlib import Path

import pytest

from control_plane.aws.project import MARK, make_project
from control_plane.aws.stage import PROJECT
from twokeys.errors import InvalidInput, Refused


def test_nothing_embedded_is_in_it(tmp_path: Path) -> None:
    modules = make_project(PROJECT, tmp_path / "lambda")
    assert "chalicelib/adapters/aws/deployment.py" in modules
    assert "vendor/twokeys/request.py" in modules
    assert [one for one in modules if "embedded" in one or "issuer_core" in one] == []
    files = [path for path in (tmp_path / "lambda").rglob("*") if path.is_file()]
    assert not [path for path in files if "cache" in str(path.relative_to(tmp_path)) or path.suffix == ".pyc"]
    assert (tmp_path / "lambda" / "chalicelib" / "pages" / "static" / "style.css").is_file()


def test_no_module_in_it_imports_what_is_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "lambda"
    for module in make_project(PROJECT, folder):
        for node in ast.walk(ast.parse((folder / module).read_text())):
            named = node.module if isinstance(node, ast.ImportFrom) else ""
            names = [one.name for one in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            imported = [str(named or ""), *names]
            assert not [one for one in imported if "embedded" in one or one.startswith("control_plane")], module


def test_requirements_are_those_of_the_lock_with_every_hash() -> None:
    locked = (PROJECT.parent / "requirements" / "dev.txt").read_text()
    text = "\n".join(line for line in (PROJECT / "requirements.txt").read_text().splitlines() if line[0] != "#")
    wanted = re.findall(r"^[a-z].*?(?=^[a-z]|\Z)", text + "\n", re.MULTILINE | re.DOTALL)
    assert len(wanted) > 10
    for one in wanted:
        assert one.strip() in locked, one[:60]
        assert "--hash=sha256:" in one


def test_chalice_itself_is_given_nothing_to_install(tmp_path: Path) -> None:
    make_project(PROJECT, tmp_path / "lambda")
    assert (tmp_path / "lambda" / "requirements.txt").read_text() == ""


def test_it_is_made_anew_and_touches_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "lambda"
    make_project(PROJECT, folder)
    stale = folder / "chalicelib" / "gone.py"
    stale.touch()
    make_project(PROJECT, folder)
    assert not stale.exists()
    assert (PROJECT / ".chalice" / "config.json").is_file(), "the link was removed, not what it leads to"
    other = tmp_path / "other"
    other.mkdir()
    (other / "work.txt").write_text("mine")
    with pytest.raises(Refused):
        make_project(PROJECT, other)
    assert (other / "work.txt").read_text() == "mine"
    assert not (other / MARK).exists()


def test_a_link_that_became_a_text_file_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(PROJECT, source, symlinks=True, ignore=shutil.ignore_patterns("embedded", "__pycache__"))
    (source / "vendor" / "twokeys").unlink()
    (source / "vendor" / "twokeys").write_text("../../twokeys")
    with pytest.raises(InvalidInput, match="text file"):
        make_project(source, tmp_path / "lambda")
