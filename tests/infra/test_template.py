"""The template is put together whole, is accepted by cfn-lint, and fits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from infra.template import MAX_TEMPLATE_BYTES, body, compose, main, read
from tests.infra.composed import findings, fresh, template

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1", "us-gov-west-1"])
def test_cfn_lint_finds_nothing(region: str) -> None:
    assert findings(body(template()), region) == []


def test_cfn_lint_sees_into_the_state_machine() -> None:
    """The check above is worth something only if a fault in the machine is a finding."""
    broken = fresh()
    broken["Resources"]["Timer"]["Properties"]["Definition"]["States"]["A"] = {"Type": "Nonsense"}
    assert any("Nonsense" in one for one in findings(json.dumps(broken), "us-east-1"))


def test_the_machine_uses_the_substitutions_it_is_given_and_no_other() -> None:
    machine = template()["Resources"]["Timer"]["Properties"]
    text = json.dumps(machine["Definition"])
    assert set(machine["DefinitionSubstitutions"]) == {"Table", "DueQueue"}
    for name in machine["DefinitionSubstitutions"]:
        assert "${" + name + "}" in text
    assert text.count("${") == text.count("${Table}") + text.count("${DueQueue}")
    assert "lambda" not in text.lower(), "the machine must not know a function: the stack is deployed before them"


def test_generated_parts_are_in_it() -> None:
    assert read(ROOT / "infra" / "glue.json")["Resources"].keys() <= template()["Resources"].keys()


def test_parts_never_name_a_resource_twice(tmp_path: Path) -> None:
    for name in ("stack.yaml", "state_machine.asl.json"):
        (tmp_path / name).write_text((ROOT / "infra" / name).read_text("utf-8"), "utf-8")
    (tmp_path / "glue.json").write_text('{"Resources": {"Table": {}}}', "utf-8")
    with pytest.raises(ValueError, match="names Table again"):
        compose(tmp_path)


def test_a_template_that_cloudformation_would_not_take_is_not_written() -> None:
    too_long = fresh()
    too_long["Description"] = "x" * MAX_TEMPLATE_BYTES
    with pytest.raises(ValueError, match="bytes, over"):
        body(too_long)


def test_the_command_writes_what_was_composed(tmp_path: Path) -> None:
    out = tmp_path / "build" / "twokeys.json"
    result = CliRunner().invoke(main, ["--out", str(out)], catch_exceptions=False)
    assert result.exit_code == 0
    assert json.loads(out.read_text("utf-8")) == template()
    assert str(len(out.read_bytes())) in result.output
