"""A whole deployment on AWS, with moto for AWS: stack, stage, bootstrap, control plane, Edge, each a real process.

moto ◀── stack.yaml, real ASL                issuer ◀── people sign in
  ▲                                             ▲
  └── control plane (lambda_process) ───────────┘ ◀── Edge ◀── psql
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

import boto3

from tests.infra.composed import template
from tests.support.aws import CREDENTIALS
from tests.support.cfn_patches import create_stack
from tests.support.deployment import CALLER, TARGET, Deployment, EdgeSettings, Process, running_edge
from tests.support.postgres import RealPostgres
from twokeys_cli.postgres import free_port

PEOPLE: Final = ("ann", "rob")
STAGE: Final = "prod"
CHALICE: Final = Path(__file__).parents[2] / "control_plane" / ".chalice"


@dataclass
class AwsDeployment(Deployment):
    """A deployment whose control plane is the one of AWS."""

    moto_url: str = ""
    outputs: Mapping[str, str] = field(default_factory=dict)

    def recordings(self) -> Path:
        """A fresh copy of the recordings bucket."""
        copy = Path(tempfile.mkdtemp(dir=self.folder, prefix="recordings-"))
        s3, bucket = self.client("s3"), self.outputs["RecordingsBucket"]
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            for listed in page.get("Contents", []):
                target = copy / listed["Key"]
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(s3.get_object(Bucket=bucket, Key=listed["Key"])["Body"].read())
        return copy

    def client(self, service: str) -> Any:
        """A client of moto."""
        return boto3.client(
            service,
            endpoint_url=self.moto_url,
            region_name="us-east-1",
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )


@contextmanager
def child(name: str, command: list[str], log: Path) -> Iterator[str]:
    """A process that prints one line when it is ready, and ends with its standard input."""
    with log.open("ab") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
        )
    assert process.stdin is not None and process.stdout is not None
    try:
        line = process.stdout.readline().decode()
        assert line, f"{name} did not start:\n{log.read_text()[-3000:]}"
        yield line
    finally:
        process.stdin.close()
        process.wait(20)
        process.stdout.close()


@contextmanager
def aws_deployment(folder: Path, postgres: RealPostgres, edge: EdgeSettings | None = None) -> Iterator[AwsDeployment]:
    """Make the stack, deploy, bootstrap, enrol an Edge; everything is stopped at the end."""
    control_port = free_port()
    url = f"http://127.0.0.1:{control_port}"
    with (
        child("moto", ["tests.support.moto_process"], folder / "moto.log") as said,
        child("issuer", ["tests.support.issuer_process", str(folder / "issuer"), *PEOPLE], folder / "issuer.log")
        as known,
        patch.dict(os.environ, {**CREDENTIALS, "AWS_ENDPOINT_URL": said.split()[-1]}),
    ):  # fmt: skip
        issuer = json.loads(known)
        outputs = create_stack(
            template(),
            Stage=STAGE,
            PublicUrl="https://twokeys.example.com",
            ExternalIssuer="https://issuer.example.com",
            ExternalIssuerClient="twokeys:control",
            ExternalIssuerCliClient="twokeys-cli",
            MailFrom="twokeys@example.com",
            LockDays="1",
        )
        config = _rendered(folder, url, str(issuer["issuer"]))
        _run("bootstrap", "control_plane.aws", "bootstrap", "--config", str(config), "--owner-subject", "ann",
             "--owner-email", "ann@example.com", "--reviewer", "rob=rob,rob@example.com")  # fmt: skip
        _verify_mail()
        control = Process(
            "control plane",
            [sys.executable, "-m", "tests.support.lambda_process", str(config), STAGE, str(control_port)],
            "listening on",
            folder / "control.log",
            os.environ,
        ).start()
        try:
            people = [{"id": name, "passphrase": text} for name, text in issuer["passphrases"].items()]
            made = AwsDeployment(
                folder, postgres, {"people": people}, control, control, control_port, 0,
                login=("--issuer", str(issuer["issuer"])), moto_url=os.environ["AWS_ENDPOINT_URL"], outputs=outputs,
            )  # fmt: skip
            token = _first_edge(made)
            with running_edge(folder, url, postgres, token, edge or EdgeSettings()) as (made.edge, made.edge_port):
                yield made
        finally:
            control.stop()


def _rendered(folder: Path, url: str, issuer: str) -> Path:
    """The stage as `infra.render` writes it; only its addresses are this machine's."""
    chalice = folder / "chalice"
    chalice.mkdir()
    shutil.copy(CHALICE / "config.json", chalice / "config.json")
    _run("render", "infra.render", "--stack", f"twokeys-{STAGE}", "--stage", STAGE, "--chalice", str(chalice))
    config = json.loads((chalice / "config.json").read_text())
    config["stages"][STAGE]["environment_variables"] |= {"TWOKEYS_PUBLIC_URL": url, "TWOKEYS_ISSUER": issuer}
    (chalice / "config.json").write_text(json.dumps(config))
    return chalice / "config.json"


def _run(name: str, *command: str) -> str:
    done = subprocess.run([sys.executable, "-m", *command], capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, f"{name}: {done.stderr.decode()}{done.stdout.decode()}"
    return done.stdout.decode()


def _verify_mail() -> None:
    boto3.client("sesv2").create_email_identity(EmailIdentity="twokeys@example.com")


def _first_edge(made: AwsDeployment) -> str:
    """Groups as the sample has them, the caller, its credential, and a token for its Edge, as an owner makes them."""
    known = {one["id"]: one for one in made.call("ann", "GET", "/v1/people").body["people"]}
    for person, groups in (("rob", ["auditors", "reviewers"]), ("ann", ["owners", "reviewers"])):
        changed = {**known[person], "groups": groups}
        if person == "ann":
            # Her own revision rose with her edit of rob.
            found = made.call("ann", "GET", "/v1/people").body["people"]
            changed["revision"] = next(one["revision"] for one in found if one["id"] == "ann")
        assert made.call("ann", "POST", "/v1/people", changed).status == 200
    caller = {"id": CALLER, "kind": "machine", "sponsor": "ann", "groups": []}
    assert made.call("ann", "POST", "/v1/people", caller).status == 200
    minted = made.call("ann", "POST", "/v1/credentials", {"caller": CALLER, "target": TARGET})
    assert minted.status == 201, minted
    made.facts["credential"] = minted.body
    token = made.call("ann", "POST", "/v1/edges/tokens", {"edge_id": "edge-1", "targets": [TARGET]})
    assert token.status == 201, token
    return str(token.body["token"])
