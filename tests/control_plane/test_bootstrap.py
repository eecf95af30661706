"""First start, and the two ways to import: what a deployment begins with, and what Lambda's package is without."""

from __future__ import annotations

import gzip
import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from chalice.test import Client

import control_plane
from control_plane.chalicelib.adapters.embedded.deployment import Deployment
from control_plane.chalicelib.adapters.embedded.first_start import Wanted, bootstrap
from control_plane.chalicelib.adapters.embedded.keys import FileSigner
from control_plane.chalicelib.adapters.embedded.oidc_client import EmbeddedOidcClient
from control_plane.chalicelib.bootstrap import assemble, build
from control_plane.chalicelib.services.limits import Limits
from tests.control_plane.world import World
from twokeys.errors import Refused, TwokeysError, Unavailable
from twokeys_cli.parts import read_bootstrap

PACKAGE = Path(control_plane.__file__).parent


def test_what_is_printed_is_what_the_command_line_reads(bootstrapped: tuple[Path, dict[str, Any]]) -> None:
    facts = read_bootstrap(json.dumps(bootstrapped[1]))
    assert [person.id for person in facts.people] == ["ann", "rob"]
    assert (facts.edge.edge_id, facts.credential.caller, facts.credential.target) == ("edge-1", "agent-7", "sample-db")


def test_it_runs_once(bootstrapped: tuple[Path, dict[str, Any]]) -> None:
    with pytest.raises(Refused, match="holds a deployment"):
        bootstrap(bootstrapped[0], Wanted("http://127.0.0.1:1"))


def test_a_folder_without_a_deployment_is_not_served(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="holds no deployment"):
        Deployment(tmp_path)


def test_everything_that_was_set_up_is_recorded_without_secrets(bootstrapped: tuple[Path, dict[str, Any]]) -> None:
    folder, facts = bootstrapped
    lines = b"".join(gzip.decompress(path.read_bytes()) for path in (folder / "recordings").glob("lines/*/*"))
    for word in (b"starter", b"ann", b"rob", b"agent-7", b"minted", b"edge-1"):
        assert word in lines
    secrets = [facts["credential"]["password"], facts["edge"]["token"], *(one["passphrase"] for one in facts["people"])]
    everything = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    for secret in secrets:
        assert secret.encode() not in everything


def test_files_and_folders_are_their_owners_alone(a_world: World) -> None:
    a_world.open()
    a_world.services.own_segments.export()
    for path in [a_world.folder, *a_world.folder.rglob("*")]:
        if "recordings" not in path.parts and path.name != a_world.folder.name:
            loose = stat.S_IMODE(path.stat().st_mode) & 0o077
            assert not (loose and path.suffix in (".pem", ".sqlite")), path


def test_a_key_file_that_others_can_read_is_not_used(a_world: World) -> None:
    (a_world.folder / "keys" / "approval.pem").chmod(0o640)
    with pytest.raises(Unavailable, match="others can read"):
        FileSigner(a_world.folder / "keys")


def test_limits_are_at_least_one() -> None:
    with pytest.raises(ValueError, match="lapse_seconds"):
        Limits(lapse_seconds=0)


def test_on_lambda_the_same_routes_answer_with_logs_metrics_and_traces(
    a_world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POWERTOOLS_TRACE_DISABLED", "true")
    monkeypatch.setenv("POWERTOOLS_METRICS_FUNCTION_NAME", "twokeys")
    issuer = EmbeddedOidcClient(a_world.deployment.site.issuer)
    app = assemble(a_world.services, issuer, (), on_lambda=True)
    with Client(app) as client:
        answer = client.http.get("/healthz")
        assert (answer.status_code, answer.json_body) == (200, {"state": "well"})
        assert answer.headers["Twokeys-Time"] == str(a_world.clock.now())
        assert client.http.get("/v1/requests").status_code == 401
        told = client.http.get("/.well-known/twokeys").json_body
        assert told == {"issuer": issuer.issuer, "client_id": "twokeys-cli", "scope": "openid", "ports": []}


def test_lambda_starts_from_no_folder_that_holds_the_embedded_issuer() -> None:
    with pytest.raises(Refused, match="holds the embedded adapters"):
        build()


def test_no_process_holds_both_names_of_the_package() -> None:
    """On Lambda it is `chalicelib`, elsewhere `control_plane.chalicelib`: both at once would be two of every class."""
    assert "chalicelib" not in sys.modules
    code = (
        "import sys, chalicelib.bootstrap, twokeys; print('control_plane' in sys.modules, twokeys.__file__,"
        " [name for name in sys.modules if 'embedded' in name or name == 'sqlite3'])"
    )
    environment = {**os.environ, "PYTHONPATH": f"{PACKAGE}:{PACKAGE / 'vendor'}", "PYTHONSAFEPATH": "1"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd="/", env=environment,
                          timeout=60, check=True)  # fmt: skip
    both, where, embedded = done.stdout.split(maxsplit=2)
    assert both == "False"
    assert "vendor/twokeys" in where
    assert embedded.strip() == "[]"


def test_the_vendored_language_is_a_link_to_the_only_one() -> None:
    link = PACKAGE / "vendor" / "twokeys"
    assert link.is_symlink()
    assert link.resolve() == (PACKAGE.parent / "twokeys").resolve()


def test_errors_of_the_command_line_say_what_to_try(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "control_plane.embedded", "serve", "--state", str(tmp_path)],
                          capture_output=True, text=True, timeout=60, check=False)  # fmt: skip
    assert (done.returncode, "Run bootstrap first" in done.stderr) == (1, True)
    assert issubclass(Refused, TwokeysError)
