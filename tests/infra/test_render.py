"""From the stack's outputs to a stage that the functions can read, or to nothing at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from chalice.config import Config
from click.testing import CliRunner, Result

from control_plane.chalicelib.adapters.aws.settings import Settings, read_settings
from infra.functions import policies
from infra.outputs import NOT_SETTINGS, REQUIRED, TOGETHER, Outputs
from infra.render import CHALICE, main, render, stage_of
from tests.infra.composed import template
from tests.infra.deployed import Deployed

WITHOUT_OUTPUT = {"issuer_cli_scope", "issuer_max_age_seconds"}
"""Settings that the stack leaves as they are."""


def chalice_folder(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text((CHALICE / "config.json").read_text("utf-8"), "utf-8")
    return tmp_path


def run(folder: Path, *more: str) -> Result:
    arguments = ["--stack", "twokeys-prod", "--stage", "prod", "--region", "us-east-1", "--chalice", str(folder)]
    return CliRunner().invoke(main, [*arguments, *more], catch_exceptions=False)


def without(stack: Deployed, *names: str) -> dict[str, str]:
    return {name: value for name, value in stack.outputs.values.items() if name not in names}


def test_the_functions_read_what_was_rendered(stack: Deployed, tmp_path: Path) -> None:
    folder = chalice_folder(tmp_path)
    assert run(folder).exit_code == 0
    stage = json.loads((folder / "config.json").read_text("utf-8"))["stages"]["prod"]
    settings = read_settings(stage["environment_variables"])
    assert settings.public_url == "https://twokeys.example.com"
    assert settings.table == "twokeys-prod"
    assert settings.due_queue == stack.outputs["DueQueue"]
    assert settings.approval_keys == [stack.outputs["ApprovalKeys"]]
    assert settings.wake_queue_prefix == "twokeys-prod-wake-"
    assert settings.issuer_tokens == "cognito"
    assert settings.issuer_cli_ports == [49152, 49153, 49154, 49155]
    assert settings.mail_from == "twokeys@example.com"
    assert settings.cookie_secret == "twokeys-prod/cookie"
    assert settings.issuer_secret == "twokeys-prod/issuer"
    assert settings.slack_secret == "twokeys-prod/slack"


def test_outputs_and_settings_are_named_alike(stack: Deployed) -> None:
    fields = {one.name: one for one in msgspec.structs.fields(Settings)}
    rendered = {name.removeprefix("TWOKEYS_").lower() for name in stack.outputs.environment()}
    assert rendered == fields.keys() - WITHOUT_OUTPUT
    required = {name for name, one in fields.items() if one.required}
    assert required <= {name.removeprefix("TWOKEYS_").lower() for name in Outputs(_only_required(stack)).environment()}


def test_every_output_is_a_setting_or_known_to_be_none() -> None:
    fields = {one.name.replace("_", "") for one in msgspec.structs.fields(Settings)}
    for name in template()["Outputs"]:
        assert (name.lower() in fields) is (name not in NOT_SETTINGS), name
    assert template()["Outputs"].keys() >= {*REQUIRED, *(name for pair in TOGETHER for name in pair)}
    for name in REQUIRED:
        assert "Condition" not in template()["Outputs"][name], f"{name} must always be there"


def _only_required(stack: Deployed) -> dict[str, str]:
    return {name: stack.outputs[name] for name in REQUIRED}


def test_chalice_finds_each_functions_policy(stack: Deployed, tmp_path: Path) -> None:
    folder = chalice_folder(tmp_path)
    run(folder)
    from_disk = json.loads((folder / "config.json").read_text("utf-8"))
    for name, document in policies(stack.outputs).items():
        config = Config("prod", function_name=name, config_from_disk=from_disk)
        assert config.autogen_policy is False
        assert json.loads((folder / config.iam_policy_file).read_text("utf-8")) == document
        assert config.environment_variables["TWOKEYS_TABLE"] == "twokeys-prod"
        assert config.environment_variables["POWERTOOLS_SERVICE_NAME"] == "twokeys"
        assert config.app_name == "twokeys", "the stack's policies name Chalice's roles"


def test_each_worker_has_a_policy_and_a_log(stack: Deployed) -> None:
    workers = (CHALICE.parent / "chalicelib" / "workers.py").read_text("utf-8")
    for name in policies(stack.outputs).keys() - {"api_handler"}:
        assert f'name="{name}")' in workers
    assert workers.count("@workers.") == len(policies(stack.outputs)) - 1


def test_rendering_again_changes_only_what_is_the_stacks(stack: Deployed) -> None:
    config: dict[str, Any] = {
        "app_name": "twokeys",
        "stages": {
            "dev": {"environment_variables": {"TWOKEYS_TABLE": "other"}},
            "prod": {
                "api_gateway_custom_domain": {"domain_name": "twokeys.example.com"},
                "environment_variables": {
                    "POWERTOOLS_LOG_LEVEL": "WARNING",
                    "TWOKEYS_GONE": "x",
                    "TWOKEYS_TABLE": "old",
                },
                "lambda_functions": {"export": {"lambda_memory_size": 2048}, "own": {"lambda_timeout": 3}},
            },
        },
    }
    before = json.dumps(config)
    made = stage_of(stack.outputs, config, "prod")
    assert json.dumps(config) == before
    assert made["stages"]["dev"] == config["stages"]["dev"]
    prod = made["stages"]["prod"]
    assert prod["api_gateway_custom_domain"] == {"domain_name": "twokeys.example.com"}
    assert prod["environment_variables"]["POWERTOOLS_LOG_LEVEL"] == "WARNING"
    assert "TWOKEYS_GONE" not in prod["environment_variables"]
    assert prod["environment_variables"]["TWOKEYS_TABLE"] == "twokeys-prod"
    assert prod["lambda_functions"]["export"]["lambda_memory_size"] == 2048
    assert prod["lambda_functions"]["own"] == {"lambda_timeout": 3}
    assert stage_of(stack.outputs, made, "prod") == made


def test_it_says_what_it_wrote(stack: Deployed, tmp_path: Path) -> None:
    result = run(chalice_folder(tmp_path))
    written = sorted(path.name for path in tmp_path.iterdir())
    assert written == ["config.json", *(f"policy-{name}-prod.json" for name in sorted(policies(stack.outputs)))]
    for name in written:
        assert f"wrote {name}" in result.output
    assert "public_url" in result.output


@pytest.mark.parametrize("name", REQUIRED)
def test_an_output_that_is_missing_is_named(stack: Deployed, name: str) -> None:
    with pytest.raises(ValueError, match=rf"no output {name}$"):
        Outputs(without(stack, name))
    with pytest.raises(ValueError, match=name):
        Outputs({**stack.outputs.values, name: ""})


@pytest.mark.parametrize(("one", "other"), TOGETHER)
def test_half_of_a_pair_is_refused(stack: Deployed, one: str, other: str) -> None:
    with pytest.raises(ValueError, match=one):
        Outputs(without(stack, one))
    Outputs(without(stack, one, other))


def test_without_mail_slack_and_secret_nothing_is_allowed_for_them(stack: Deployed) -> None:
    bare = policies(Outputs(_only_required(stack)))
    text = json.dumps(bare)
    assert "ses:" not in text
    assert text.count("secretsmanager:GetSecretValue") == 1


def test_a_stack_that_is_not_there_or_not_whole_writes_nothing(stack: Deployed, tmp_path: Path) -> None:
    folder = chalice_folder(tmp_path)
    result = run(folder, "--stack", "nowhere")
    assert result.exit_code != 0
    assert "nothing was written" in result.output
    assert [path.name for path in folder.iterdir()] == ["config.json"]


def test_another_stage_than_the_stacks_writes_nothing(stack: Deployed, tmp_path: Path) -> None:
    """Roles are named after the stage: policies and trust would name others."""
    folder = chalice_folder(tmp_path)
    result = run(folder, "--stage", "dev")
    assert result.exit_code != 0
    assert "made for the stage prod" in result.output
    assert [path.name for path in folder.iterdir()] == ["config.json"]


def test_a_configuration_that_can_not_be_read_is_left_alone(stack: Deployed, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{", "utf-8")
    result = run(tmp_path)
    assert result.exit_code != 0
    assert "nothing was written" in result.output
    assert (tmp_path / "config.json").read_text("utf-8") == "{"


def test_old_keys_verify_and_never_sign(stack: Deployed, tmp_path: Path) -> None:
    old = "arn:aws:kms:us-east-1:123456789012:key/old"
    both = Outputs({**stack.outputs.values, "ApprovalKeys": f"{stack.outputs['ApprovalKeys']},{old}"})
    render(both, "prod", chalice_folder(tmp_path))
    document = policies(both)["api_handler"]
    by_action = {
        action: one["Resource"] for one in document["Statement"] for action in one["Action"] if old in one["Resource"]
    }
    assert by_action.keys() == {"kms:GetPublicKey"}
    assert read_settings(both.environment()).approval_keys == [stack.outputs["ApprovalKeys"], old]


def test_no_secret_is_written(stack: Deployed, tmp_path: Path) -> None:
    run(chalice_folder(tmp_path))
    secrets = stack.client("secretsmanager")
    for name in ("CookieSecret", "IssuerSecret"):
        value = secrets.get_secret_value(SecretId=stack.outputs[name])["SecretString"]
        assert len(value) >= 32
        assert all(value not in path.read_text("utf-8") for path in tmp_path.iterdir())
