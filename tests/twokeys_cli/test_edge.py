from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from twokeys.errors import InvalidInput
from twokeys_cli.edge import edge
from twokeys_cli.parts import Parts, Programs, Tuning
from twokeys_cli.state import Kept, StateFolder, Upstream, Users

KEPT = Kept(users=Users(postgres=None, control=None, edge=None), control_port=8443, edge_port=6432, postgres_port=5432)


def written(folder: Path, name: str) -> Path:
    """The file that `twokeys up` writes, for a database of this name."""
    upstream = Upstream(host="127.0.0.1", port=5432, database=name, user="app")
    path = folder / "edge.toml"
    path.write_text(Parts(StateFolder(folder), KEPT, Programs()).edge_toml("sample-db", upstream, Tuning()))
    password = folder / "upstream.password"
    password.write_text("secret")
    password.chmod(0o600)
    return path


@pytest.mark.parametrize("name", ["sample", 'a"b\\c]', "日本"])
def test_what_twokeys_up_writes_can_be_used(tmp_path: Path, name: str) -> None:
    said = CliRunner().invoke(edge, ["config", str(written(tmp_path, name))])
    assert said.exit_code == 0, said.output
    assert "sample-db at 127.0.0.1:6432" in said.output


def test_a_wrong_key_is_refused_by_name_and_line(tmp_path: Path) -> None:
    path = written(tmp_path, "sample")
    path.write_text(path.read_text() + "nonsense = 1\n")
    with pytest.raises(InvalidInput, match=r"line \d+.*nonsense"):
        CliRunner().invoke(edge, ["config", str(path)], catch_exceptions=False)


def test_every_limit_is_explained() -> None:
    said = CliRunner().invoke(edge, ["config", "--explain"])
    assert "hold_seconds = 600" in said.output
    assert "[recorder]" in said.output


@pytest.mark.parametrize("arguments", [[], ["edge.toml", "--explain"]])
def test_it_is_one_of_the_two(arguments: list[str]) -> None:
    assert CliRunner().invoke(edge, ["config", *arguments]).exit_code == 2
