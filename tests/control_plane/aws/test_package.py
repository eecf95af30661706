"""What Lambda gets: packed for both architectures, small, whole, started alone, nothing embedded, valid for SAM.

Slow: packages are fetched for another machine.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bench.coldstart import WANTED_MILLISECONDS, imports
from control_plane.aws.packages import architecture_of, compile_all, install
from control_plane.aws.project import make_project
from control_plane.aws.stage import CONFIG, PROJECT
from tests.control_plane.aws.test_settings import WHOLE
from twokeys.errors import InvalidInput, Unavailable

MAX_ZIPPED = 50 * 1024 * 1024
MAX_UNZIPPED = 200 * 1024 * 1024
FUNCTIONS = ("api_handler", "due", "export", "notices", "reconcile")
HERE = {"x86_64": "x86_64", "aarch64": "arm64", "arm64": "arm64"}[platform.machine()]
LAMBDA = {**WHOLE, "AWS_DEFAULT_REGION": "us-east-1", "AWS_REGION": "us-east-1", "AWS_LAMBDA_FUNCTION_NAME": "twokeys",
          "LAMBDA_TASK_ROOT": "/var/task", "POWERTOOLS_SERVICE_NAME": "twokeys",
          "POWERTOOLS_METRICS_NAMESPACE": "Twokeys"}  # fmt: skip
"""The environment of a function, whose resources are nowhere."""


@dataclass(frozen=True)
class Package:
    """One deployment package: the archive, unpacked, and its SAM template."""

    archive: Path
    folder: Path
    sam: Path

    @property
    def template(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.sam.read_text())
        return found


@pytest.fixture(scope="module", params=["x86_64", "arm64"])
def package(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Package:
    return packed(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture(scope="module")
def own_package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return packed(tmp_path_factory.mktemp("own"), HERE)


def packed(folder: Path, architecture: str) -> Package:
    """As `python -m control_plane.aws project` and `chalice package` do it, with a stage that was rendered."""
    project = folder / "lambda"
    make_project(PROJECT, project)
    install(PROJECT / "requirements.txt", project / "vendor", architecture)
    compile_all(project)
    _render(project / ".chalice", architecture)
    environment = {**os.environ, "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        environment.pop(name, None)
    chalice = [sys.executable, "-c", "import sys; from chalice.cli import main; sys.exit(main())"]
    done = subprocess.run([*chalice, "package", "--stage", "prod", str(folder / "out")], cwd=project, env=environment,
                          capture_output=True, text=True, timeout=170, check=False)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    unpacked = folder / "task"
    with zipfile.ZipFile(folder / "out" / "deployment.zip") as archive:
        archive.extractall(unpacked)
    return Package(folder / "out" / "deployment.zip", unpacked, folder / "out" / "sam.json")


def _render(chalice: Path, architecture: str) -> None:
    chalice.unlink()
    chalice.mkdir()
    config = json.loads(CONFIG.read_text())
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["dynamodb:GetItem"],
              "Resource": "arn:aws:dynamodb:us-east-1:123456789012:table/twokeys-test"}]}  # fmt: skip
    for name in FUNCTIONS:
        (chalice / f"policy-{name}-prod.json").write_text(json.dumps(policy))
    config["lambda_architecture"] = architecture
    config["stages"] = {"prod": {
        "api_gateway_stage": "api", "autogen_policy": False, "environment_variables": WHOLE,
        "lambda_functions": {name: {"iam_policy_file": f"policy-{name}-prod.json"} for name in FUNCTIONS},
    }}  # fmt: skip
    (chalice / "config.json").write_text(json.dumps(config))


def alone(package: Package, code: str, more: Mapping[str, str] | None = None) -> str:
    """Run code where nothing but the package can be imported, as nobody, without AWS."""
    environment = {"PATH": "/usr/bin:/bin", **LAMBDA, **(more or {})}
    begin = f"import sys; sys.path.insert(0, {str(package.folder)!r})\n"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", begin + code], env=environment, cwd="/",
                          capture_output=True, text=True, timeout=60, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
def test_it_is_small_enough_for_both_architectures(package: Package) -> None:
    size = sum(path.stat().st_size for path in package.folder.rglob("*") if path.is_file())
    assert package.archive.stat().st_size <= MAX_ZIPPED
    assert size <= MAX_UNZIPPED


@pytest.mark.slow
def test_it_is_for_the_architecture_that_the_functions_have(package: Package) -> None:
    functions = [one["Properties"] for one in package.template["Resources"].values()
                 if one["Type"] == "AWS::Serverless::Function"]  # fmt: skip
    (architecture,) = {one for function in functions for one in function["Architectures"]}
    word = {"arm64": "aarch64", "x86_64": "x86_64"}[architecture]
    machines = {0x3E: "x86_64", 0xB7: "aarch64"}
    libraries = [path for path in package.folder.rglob("*.so*") if path.is_file()]
    assert len(libraries) >= 5
    for library in libraries:
        assert machines[int.from_bytes(library.read_bytes()[18:20], "little")] == word, library.name


@pytest.mark.slow
def test_nothing_embedded_and_no_cache_of_a_tool_is_in_it(package: Package) -> None:
    names = zipfile.ZipFile(package.archive).namelist()
    ours = [name for name in names if name.startswith(("chalicelib/", "twokeys/", "app.py"))]
    assert "chalicelib/adapters/aws/deployment.py" in ours
    assert [name for name in ours if "embedded" in name or "issuer_core" in name or "_cache" in name] == []
    assert [name for name in names if name.partition("/")[0] in ("control_plane", "tests", "pip", "waitress")] == []


@pytest.mark.slow
def test_every_module_has_its_byte_code(package: Package) -> None:
    """Lambda's disk is read-only: what is not compiled here is compiled at every cold start."""
    names = set(zipfile.ZipFile(package.archive).namelist())
    tag = sys.implementation.cache_tag
    for name in names:
        folder, _, module = name.rpartition("/")
        if module.endswith(".py") and name != "app.py":
            assert f"{folder}/__pycache__/{module[:-3]}.{tag}.pyc".lstrip("/") in names, name


@pytest.mark.slow
def test_sam_takes_it_and_each_function_has_a_policy_of_its_own(package: Package) -> None:
    # Loaded here: it takes a second, and only slow tests need it.
    api = importlib.import_module("cfnlint.api")
    found = api.lint(package.sam.read_text(), regions=["us-east-1"])
    assert [str(one) for one in found] == []
    resources = package.template["Resources"]
    handlers = {one["Properties"]["Handler"]: one["Properties"]["Role"] for one in resources.values()
                if one["Type"] == "AWS::Serverless::Function"}  # fmt: skip
    assert set(handlers) == {"app.app", "app.due", "app.notices", "app.export", "app.reconcile"}
    assert len({json.dumps(role) for role in handlers.values()}) == len(handlers)
    assert resources["RestAPI"]["Properties"]["EndpointConfiguration"] == "REGIONAL"


@pytest.mark.slow
def test_it_starts_alone_and_every_handler_is_where_lambda_looks(own_package: Package) -> None:
    handlers = [one["Properties"]["Handler"] for one in own_package.template["Resources"].values()
                if one["Type"] == "AWS::Serverless::Function"]  # fmt: skip
    said = alone(
        own_package,
        f"""
import importlib, json
for handler in {handlers!r}:
    module, name = handler.rsplit(".", 1)
    assert callable(getattr(importlib.import_module(module), name)), handler
held = sorted(sys.modules)
print(json.dumps([one for one in held if "embedded" in one or one.startswith("control_plane") or one == "waitress"]))
""",
    )
    assert json.loads(said) == []


@pytest.mark.slow
def test_it_answers_what_needs_nobody(own_package: Package) -> None:
    """A whole event through the handler: how to sign in needs neither AWS nor the issuer."""
    said = alone(
        own_package,
        """
import json
import app
class Context:
    function_name = memory_limit_in_mb = invoked_function_arn = aws_request_id = "x"
    def get_remaining_time_in_millis(self): return 1000
event = {"requestContext": {"httpMethod": "GET", "resourcePath": "/.well-known/twokeys", "path": "/x", "identity": {}},
         "headers": {}, "multiValueHeaders": {}, "pathParameters": {}, "stageVariables": {}, "body": None,
         "multiValueQueryStringParameters": None, "isBase64Encoded": False, "path": "/.well-known/twokeys"}
print("ANSWER", json.dumps(app.app(event, Context())))
""",
        {"POWERTOOLS_TRACE_DISABLED": "true"},
    )
    (line,) = [line for line in said.splitlines() if line.startswith("ANSWER ")]
    answer = json.loads(line.removeprefix("ANSWER "))
    assert answer["statusCode"] == 200, answer
    assert json.loads(answer["body"])["issuer"] == WHOLE["TWOKEYS_ISSUER"]


@pytest.mark.slow
def test_an_environment_that_lacks_something_does_not_start(own_package: Package) -> None:
    code = "try:\n    import app\nexcept Exception as error:\n    print(type(error).__name__, error)\n"
    assert "TWOKEYS_TABLE" in alone(own_package, code, {"TWOKEYS_TABLE": ""})


@pytest.mark.slow
def test_the_application_is_imported_in_time(own_package: Package) -> None:
    """The fastest run, and a quarter more: others use this machine too. What it takes says the bench."""
    assert imports(own_package.folder, LAMBDA)[0].cpu <= WANTED_MILLISECONDS * 1.25


def test_the_architecture_is_one_that_lambda_has(tmp_path: Path) -> None:
    assert architecture_of(CONFIG) in ("arm64", "x86_64")
    config = tmp_path / "config.json"
    config.write_text("{}")
    assert architecture_of(config) == "x86_64", "Chalice's default"
    for text in ('{"lambda_architecture": "sparc"}', "[]", "{"):
        config.write_text(text)
        with pytest.raises(InvalidInput):
            architecture_of(config)


@pytest.mark.slow
def test_a_package_of_another_hash_is_not_installed(tmp_path: Path) -> None:
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(f"six==1.17.0 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(Unavailable, match="pip failed"):
        install(requirements, tmp_path / "vendor", "arm64")
    assert not list((tmp_path / "vendor").glob("six*")) if (tmp_path / "vendor").exists() else True
    shutil.rmtree(tmp_path / "vendor", ignore_errors=True)
