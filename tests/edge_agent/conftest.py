"""The compiled module, built of this checkout."""

from __future__ import annotations

import importlib.util
import shutil
import sysconfig
from pathlib import Path
from types import ModuleType

import pytest

from hatch_build import compile_into


@pytest.fixture(scope="session")
def native(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """The module, compiled from this checkout: what is installed may be another, or none."""
    if shutil.which("cc") is None or not Path(sysconfig.get_path("include"), "Python.h").exists():
        pytest.skip("there is no C compiler, or Python's headers are not installed: the pure twins are all there is")
    folder = tmp_path_factory.mktemp("native")
    assert compile_into(folder, "-Werror")
    spec = importlib.util.spec_from_file_location("edge_agent._native", folder / "_native.abi3.so")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
