from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from twokeys_cli.main import COMMANDS, Lazy, cli

PRESENT = [name for name, lazy in COMMANDS.items() if importlib.util.find_spec(lazy.module) is not None]


def test_the_help_lists_every_command_and_imports_none() -> None:
    code = "import sys; from twokeys_cli.main import main; sys.argv = ['twokeys', '--help']\ntry: main()\nfinally: "
    code += "assert not [m for m in sys.modules if m.startswith(('twokeys_cli.up', 'control_plane', 'duckdb', 'h11'))]"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert said.returncode == 0, said.stderr
    for name in PRESENT:
        assert COMMANDS[name].about in said.stdout


@pytest.mark.parametrize("name", PRESENT)
def test_every_command_has_a_help(name: str) -> None:
    said = CliRunner().invoke(cli, [name, "--help"])
    assert said.exit_code == 0, said.output
    assert "Usage:" in said.output


def test_a_command_whose_package_is_missing_names_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "needs_more.py").write_text("import a_package_that_is_not_installed")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(COMMANDS, "more", Lazy("needs_more", "more", "Needs more."))
    said = CliRunner().invoke(cli, ["more"])
    assert said.exit_code == 1
    assert "a_package_that_is_not_installed" in said.output
    assert "pip install 'twokeys[up]'" in said.output


def test_an_unknown_command_is_refused() -> None:
    assert CliRunner().invoke(cli, ["bypass"]).exit_code == click.UsageError.exit_code


def test_an_error_on_purpose_says_what_happened_and_what_to_try() -> None:
    said = subprocess.run(
        [
            sys.executable,
            "-m",
            "twokeys_cli.main",
            "up",
            "--upstream",
            "nonsense",
            "--upstream-password-file",
            __file__,
        ],
        capture_output=True,
        text=True,
    )
    assert said.returncode == 1
    assert "not of the form" in said.stderr
    assert "Nothing was started." in said.stderr
    assert "Traceback" not in said.stderr


def test_a_command_that_is_not_installed_is_not_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(COMMANDS, "later", Lazy("twokeys_cli.no_such_module", "later", "Nothing yet."))
    assert "later" not in CliRunner().invoke(cli, ["--help"]).output
