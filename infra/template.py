"""Puts the stack together: `python -m infra.template` writes the one template that is deployed.

    stack.yaml (by hand) + state_machine.asl.json + glue.json (generated) ──▶ build/twokeys.json

CloudFormation takes local files only by way of a bucket; one compact file under its 51,200 bytes needs none.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import click
import yaml

FOLDER: Final = Path(__file__).parent

MAX_TEMPLATE_BYTES: Final = 51_200
"""Longest template that CloudFormation takes without a bucket (its quota page, "Template body size in a request")."""

Template = dict[str, Any]


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short tags (``!Ref``, ``!Sub`` …)."""


def _short_tag(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    match node:
        case yaml.ScalarNode():
            value = loader.construct_scalar(node)
        case yaml.SequenceNode():
            value = loader.construct_sequence(node, deep=True)
        case yaml.MappingNode():
            value = loader.construct_mapping(node, deep=True)
    match suffix:
        case "Ref" | "Condition":
            return {suffix: value}
        case "GetAtt" if isinstance(value, str):
            return {"Fn::GetAtt": value.split(".", 1)}
    return {f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _short_tag)


def read(path: Path) -> Template:
    """A file of the stack, short tags written out."""
    # A SafeLoader's subclass: it makes plain values and nothing else.
    loaded: Template = yaml.load(path.read_text("utf-8"), Loader=_Loader)  # noqa: S506
    return loaded


def compose(folder: Path = FOLDER) -> Template:
    """The whole template.

    Args:
        folder: Where the parts are.

    Raises:
        ValueError: when two parts name the same resource.
    """
    template = read(folder / "stack.yaml")
    resources: dict[str, Any] = template["Resources"]
    machine = json.loads((folder / "state_machine.asl.json").read_text("utf-8"))
    resources["Timer"]["Properties"]["Definition"] = machine
    added = read(folder / "glue.json")["Resources"]
    if twice := sorted(resources.keys() & added.keys()):
        raise ValueError(f"glue.json names {', '.join(twice)} again")
    resources |= added
    return template


def body(template: Template) -> str:
    """The template as it is deployed.

    Raises:
        ValueError: when CloudFormation would not take it.
    """
    text = json.dumps(template, separators=(",", ":"), ensure_ascii=False)
    if (length := len(text.encode())) > MAX_TEMPLATE_BYTES:
        raise ValueError(f"the template has {length} bytes, over {MAX_TEMPLATE_BYTES}")
    return text


@click.command()
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), default=Path("build/twokeys.json"), show_default=True,
    help="Where the template goes.",
)  # fmt: skip
def main(out: Path) -> None:
    """Write the template that `aws cloudformation deploy` takes."""
    text = body(compose())
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text, "utf-8")
    click.echo(f"wrote {out} ({len(text.encode())} bytes of {MAX_TEMPLATE_BYTES})")


if __name__ == "__main__":
    main()
