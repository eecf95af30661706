"""Recordings in a bucket are proved like any other, and what somebody wrote over them counts for nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from click.testing import CliRunner, Result
from moto import mock_aws

from bench import cost_flows
from tests.twokeys.recording import Recording, sample, store
from twokeys.errors import InvalidInput, Refused, TwokeysError, Unavailable
from twokeys_cli import audit_s3
from twokeys_cli.audit import audit

BUCKET = "twokeys-test-recordings"


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def s3() -> Iterator[Any]:
    """A bucket with versions that holds two sources below ``prod/``."""
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket=BUCKET)
        client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        yield client


@pytest.fixture
def filled(s3: Any, tmp_path: Path) -> Any:
    own = Recording("control-plane")
    own.add([({"type": "decision", "person": "rob", "outcome": "denied"}, b"")])
    put(s3, store(tmp_path / "made", sample(), own))
    return s3


def put(s3: Any, folder: Path, prefix: str = "prod/") -> None:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            s3.put_object(Bucket=BUCKET, Key=prefix + str(path.relative_to(folder)), Body=path.read_bytes())


def verify(*arguments: str, place: str = f"s3://{BUCKET}/prod") -> Result:
    return CliRunner().invoke(audit, ["verify", place, *arguments])


def failed(*arguments: str, place: str = f"s3://{BUCKET}/prod") -> TwokeysError:
    result = verify(*arguments, place=place)
    assert isinstance(result.exception, TwokeysError), result.output
    return result.exception


def key_of(s3: Any, end: str) -> str:
    listed = s3.list_objects_v2(Bucket=BUCKET, Prefix="prod/")["Contents"]
    return next(str(one["Key"]) for one in listed if one["Key"].endswith(end))


@pytest.mark.usefixtures("filled")
def test_a_whole_bucket_is_whole_again_and_again(tmp_path: Path) -> None:
    for _ in range(2):
        result = verify()
        assert result.exit_code == 0, result.output
        assert "whole: 10 records" in result.output
        assert "edge-1: whole, 9 records in 3 segments, 6 bodies" in result.output
    cache = tmp_path / "cache" / "twokeys" / "recordings"
    assert [one.name for one in cache.iterdir()] == ["objects"], "the view is gone"
    assert cache.stat().st_mode & 0o077 == 0


def test_objects_are_fetched_once(filled: Any) -> None:
    verify()
    bucket = audit_s3.Bucket.parse(f"s3://{BUCKET}/prod")
    listing = audit_s3.list_versions(filled, bucket)
    cache = audit_s3.Cache(Path(os.environ["XDG_CACHE_HOME"]) / "twokeys" / "recordings")
    with Stubber(filled), cache.view(filled, bucket, listing, lambda size: None) as view:
        assert sum(path.is_file() for path in view.rglob("*")) == len(listing.objects)


def test_a11_an_overwritten_object_is_told_and_the_first_version_proved(filled: Any) -> None:
    key = key_of(filled, "edge-1-000000000004.jsonl.gz")
    filled.put_object(Bucket=BUCKET, Key=key, Body=b"other")
    result = verify()
    assert result.exit_code == 1
    assert "edge-1: whole, 9 records" in result.output, "the first version is what counts"
    assert "Tampering: lines/dt=2026-11-22/edge-1-000000000004.jsonl.gz was overwritten at" in result.output
    assert "NOT WHOLE" in result.output


def test_a11_a_deleted_object_is_told_and_still_proved(filled: Any) -> None:
    filled.delete_object(Bucket=BUCKET, Key=key_of(filled, "edge-1-000000000007.json"))
    result = verify()
    assert result.exit_code == 1
    assert "edge-1: whole, 9 records" in result.output
    assert "edge-1-000000000007.json was deleted at" in result.output


def test_a11_what_was_changed_without_a_trace_is_found_by_the_chain(filled: Any) -> None:
    key = key_of(filled, "edge-1-000000000004.jsonl.gz")
    version = filled.head_object(Bucket=BUCKET, Key=key)["VersionId"]
    filled.delete_object(Bucket=BUCKET, Key=key, VersionId=version)
    assert "segment edge-1-000000000004" in verify().output
    filled.put_object(Bucket=BUCKET, Key=key, Body=b"other")
    assert "segment edge-1-000000000004" in verify().output


def test_what_was_cached_does_not_stand_in_for_what_is_gone(filled: Any) -> None:
    before = [line.split()[1] for line in verify().output.splitlines() if line.startswith("  head ")]
    for end in ("edge-1-000000000007.json", "edge-1-000000000007.jsonl.gz", "edge-1-000000000007.bodies"):
        key = key_of(filled, end)
        version = filled.head_object(Bucket=BUCKET, Key=key)["VersionId"]
        filled.delete_object(Bucket=BUCKET, Key=key, VersionId=version)
    result = verify(*(f"--head={head}" for head in before))
    assert result.exit_code == 1
    assert "end is missing" in result.output


@pytest.mark.parametrize(
    "name",
    ["lines/other.gz", "lines/dt=2026-11-22/../../../x", "notes.txt", "lines/dt=2026-11-22/a\u202eb", "lines//x"],
)
def test_strange_names_are_told_and_never_fetched(filled: Any, name: str, tmp_path: Path) -> None:
    filled.put_object(Bucket=BUCKET, Key=f"prod/{name}", Body=b"x")
    result = verify()
    assert result.exit_code == 1
    assert "is no part of a recording" in result.output
    assert "\u202e" not in result.output
    assert not list(tmp_path.rglob("x"))


def test_an_object_that_is_too_long_is_not_fetched(filled: Any) -> None:
    filled.put_object(Bucket=BUCKET, Key="prod/seals/dt=2026-11-23/edge-1-000000000010.json", Body=b" " * 20_000)
    assert "edge-1-000000000010.json is no part" in verify().output


def test_a_bucket_without_versions_says_what_it_can_not_show(tmp_path: Path) -> None:
    with mock_aws():
        client = boto3.client("s3", region_name="us-east-1")
        client.create_bucket(Bucket=BUCKET)
        put(client, store(tmp_path / "made", sample()))
        result = verify()
    assert result.exit_code == 0
    assert "keeps no versions" in result.stderr


def test_bodies_stay_where_they_are_when_they_are_not_asked_for(filled: Any) -> None:
    filled.delete_object(Bucket=BUCKET, Key="prod/none")
    result = verify("--without-bodies")
    assert "3 segments, 0 bodies" in result.output


@pytest.mark.usefixtures("s3")
def test_what_is_wrong_with_the_place_is_said(tmp_path: Path) -> None:
    assert isinstance(failed(place="s3://twokeys-no-such-bucket"), InvalidInput)
    for bad in ("s3:/x", "https://x", "s3://A_b", "s3://x"):
        assert failed(place=bad).code == "bad_address"
    assert verify("--folder", str(tmp_path)).exit_code == 2
    assert isinstance(failed("--cache", "/proc/none"), Unavailable)
    (tmp_path / "open").mkdir(mode=0o755)
    (tmp_path / "open").chmod(0o755)
    assert "chmod 700" in failed("--cache", str(tmp_path / "open")).advice


@pytest.mark.slow
def test_what_the_control_plane_stores_on_aws_is_whole(tmp_path: Path) -> None:
    with cost_flows.opened() as bench:
        cost_flows.held_write(bench)
        cost_flows.sealed_segment(bench)
        cost_flows.exported(bench)
        keys = [dict(key.to_json()) for key in bench.deployment.ports.signer.public_keys()]
        (tmp_path / "keys.json").write_text(json.dumps({"keys": keys}))
        result = verify("--keys", str(tmp_path / "keys.json"), place="s3://twokeys-test-recordings")
    assert result.exit_code == 0, result.output
    assert "edge-1: whole, 200 records" in result.output
    assert "control-plane: whole" in result.output


def played(plan: Callable[[Stubber], None]) -> TwokeysError:
    client = boto3.client("s3", region_name="us-east-1")
    with Stubber(client) as stub, pytest.raises(TwokeysError) as told:
        plan(stub)
        audit_s3.list_versions(client, audit_s3.Bucket(BUCKET))
    return told.value


def test_a_role_that_may_not_list_is_told_which_may() -> None:
    error = played(lambda stub: stub.add_client_error("list_object_versions", "AccessDenied", "no"))
    assert isinstance(error, Refused)
    assert "AuditorRole" in error.advice
