"""From the stack's outputs to the Chalice stage: `python -m infra.render --stack twokeys-prod --stage prod`.

    outputs ──▶ .chalice/config.json, stages.<stage>: environment, policy file of each function
            ──▶ .chalice/policy-<function>-<stage>.json

Run again after each update of the stack; nothing else of the configuration is touched. What is written holds names of
the account's resources and no secret.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any, Final

import click

from infra.functions import MAX_POLICY_CHARACTERS, policies
from infra.outputs import Outputs, read_outputs

CHALICE: Final = Path(__file__).parents[1] / "control_plane" / ".chalice"

API_STAGE: Final = "api"
"""API Gateway's name for the stage, for a Chalice stage that names none."""


def stage_of(outputs: Outputs, config: dict[str, Any], stage: str) -> dict[str, Any]:
    """The configuration with the stage brought up to date; what else the stage says stays."""
    stages = dict(config.get("stages", {}))
    kept = dict(stages.get(stage, {}))
    functions = dict(kept.get("lambda_functions", {}))
    for name in policies(outputs):
        functions[name] = {**functions.get(name, {}), "iam_policy_file": policy_file(name, stage)}
    environment = {
        name: value
        for name, value in kept.get("environment_variables", {}).items()
        # A setting that the stack has no more must not stay behind.
        if not name.startswith("TWOKEYS_")
    }
    stages[stage] = {
        "api_gateway_stage": API_STAGE,
        **kept,
        "autogen_policy": False,
        "environment_variables": environment | outputs.environment(),
        "lambda_functions": functions,
    }
    return {**config, "stages": stages}


def policy_file(function: str, stage: str) -> str:
    """Name of a function's policy file."""
    return f"policy-{function}-{stage}.json"


def render(outputs: Outputs, stage: str, folder: Path) -> list[Path]:
    """Write the stage; return what was written.

    Raises:
        click.ClickException: when something does not fit; nothing was written then.
    """
    if outputs["Stage"] != stage:
        raise click.ClickException(
            f"The stack was made for the stage {outputs['Stage']}, not {stage}, and nothing was written:"
            " names of roles would not fit."
        )
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise click.ClickException(f"{path} can't be read, and nothing was written: {error}") from error
    texts = {}
    for name, document in policies(outputs).items():
        if (length := len(json.dumps(document, separators=(",", ":")))) > MAX_POLICY_CHARACTERS:
            raise click.ClickException(f"The policy of {name} has {length} characters, over {MAX_POLICY_CHARACTERS}.")
        texts[folder / policy_file(name, stage)] = document
    # Policies first: a configuration never names one that is not there.
    for target, document in {**texts, path: stage_of(outputs, config, stage)}.items():
        _replace(target, json.dumps(document, indent=2) + "\n")
    return [*texts, path]


def _replace(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    Path(name).chmod(0o644)
    Path(name).replace(path)


@click.command()
@click.option("--stack", required=True, help="Name of the stack.")
@click.option("--stage", required=True, help="Name of the Chalice stage; the stack's parameter Stage.")
@click.option("--region", help="Where the stack is; else as the AWS configuration says.")
@click.option(
    "--chalice", "folder", type=click.Path(path_type=Path, file_okay=False, exists=True), default=CHALICE,
    help="Chalice's folder; else that of this checkout.",
)  # fmt: skip
def main(stack: str, stage: str, region: str | None, folder: Path) -> None:
    """Render a stack's outputs into the Chalice stage."""
    outputs = read_outputs(stack, region)
    for path in render(outputs, stage, folder):
        click.echo(f"wrote {path.name}")
    settings = outputs.environment()
    click.echo(f"{len(settings)} settings: {', '.join(name.removeprefix('TWOKEYS_').lower() for name in settings)}")
    click.echo(f"next: python -m control_plane.aws project && cd build/lambda && chalice deploy --stage {stage}")


if __name__ == "__main__":
    main()
