from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.postgres import open_folder

ROOT = Path(__file__).parents[2]
LOCKS = ("lock.txt", "dev.txt")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from this checkout."""
    into = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", into, ROOT],
        check=True,
        capture_output=True,
    )
    (built,) = into.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def elsewhere(wheel: Path) -> Iterator[Path]:
    """The `twokeys` command of an environment outside the checkout: the wheel, and this environment's packages."""
    with open_folder() as folder:
        venv.create(folder / "venv", with_pip=False, symlinks=True)
        python = folder / "venv" / "bin" / "python"
        site = Path(sysconfig.get_path("purelib", vars={"base": str(folder / "venv")}))
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(site)
        (site / "packages.pth").write_text(sysconfig.get_path("purelib") + "\n")
        command = folder / "venv" / "bin" / "twokeys"
        command.write_text(f"#!{python}\nfrom twokeys_cli.main import main\nmain()\n")
        command.chmod(0o755)
        yield command


@pytest.mark.parametrize("name", LOCKS)
def test_the_lock_names_each_package_by_version_and_hash_and_nothing_of_a_machine(name: str) -> None:
    text = (ROOT / "requirements" / name).read_text()
    assert not re.search(r"https?:|file:/|@ |^-(?!-hash)|/(opt|home|root|tmp|work)/", text, re.MULTILINE)
    blocks = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]
    assert blocks
    for block in blocks:
        assert re.match(r"[a-z0-9.-]+==[^ ]+ ", block), block
        assert "--hash=sha256:" in block, block


@pytest.mark.parametrize("name", LOCKS)
def test_the_lock_has_all_that_the_project_names(name: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    named = [*project["dependencies"], *extras["up"], *(extras["dev"] + extras["aws"] if name == "dev.txt" else [])]
    text = (ROOT / "requirements" / name).read_text()
    locked = set(re.findall(r"^([a-z0-9.-]+)==", text, re.MULTILINE))
    assert {re.split(r"[\[>=;]", one)[0].lower() for one in named} <= locked


def test_the_wheel_has_the_program_and_no_second_copy_of_the_language(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {
        "twokeys",
        "edge_agent",
        "control_plane",
        "twokeys_cli",
    }
    assert not [name for name in names if "vendor/" in name or "__pycache__" in name]
    for needed in ("twokeys/nevers.cedar", "twokeys_cli/sample.sql", "twokeys/py.typed"):
        assert needed in names


def test_the_wheel_runs_outside_the_checkout(elsewhere: Path) -> None:
    said = subprocess.run(
        [elsewhere, "--help"], cwd=elsewhere.parent, env={"PATH": os.defpath}, capture_output=True, text=True
    )
    assert said.returncode == 0, said.stderr
    assert "audit" in said.stdout
    where = "import twokeys_cli, control_plane; print(twokeys_cli.__file__)"
    python = elsewhere.with_name("python")
    found = subprocess.run([python, "-P", "-c", where], capture_output=True, text=True, cwd="/", check=True).stdout
    assert Path(found).is_relative_to(elsewhere.parents[1])


@pytest.mark.slow
def test_twokeys_up_runs_from_the_wheel(elsewhere: Path) -> None:
    state = elsewhere.parents[2] / "state"
    process = subprocess.Popen(
        [elsewhere, "up", "--state", state, "--control-port", "0", "--edge-port", "0"],
        cwd="/",
        env={"PATH": os.environ["PATH"]},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    with process:
        said = []
        for line in process.stdout:
            said.append(line)
            if line.startswith("Ctrl-C"):
                process.send_signal(signal.SIGINT)
    assert process.returncode == 0, "".join(said)
    assert "Twokeys runs." in "".join(said)
