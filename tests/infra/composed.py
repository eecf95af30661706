"""The stack's template as it is deployed."""

from __future__ import annotations

import functools
import json
from typing import Any, Final

from cfnlint.api import ManualArgs, lint

from infra.template import FOLDER, Template, compose

STAGE: Final = "prod"


@functools.cache
def template() -> Template:
    """Composed once. Not to be changed; `fresh` gives one's own."""
    return compose(FOLDER)


def fresh() -> Template:
    """A copy of one's own."""
    copied: Template = json.loads(json.dumps(template()))
    return copied


def properties(name: str) -> dict[str, Any]:
    """A resource's properties."""
    found: dict[str, Any] = template()["Resources"][name]["Properties"]
    return found


def of_type(kind: str) -> dict[str, dict[str, Any]]:
    """Resources of one type by logical id."""
    return {name: one for name, one in template()["Resources"].items() if one["Type"] == kind}


def findings(text: str, region: str) -> list[str]:
    """What cfn-lint has to say of a template, its warnings and hints included."""
    found = lint(text, config=ManualArgs(regions=[region], include_checks=["W", "E"]))
    return [f"{one.rule.id} {one.message} at {'/'.join(map(str, one.path or []))}" for one in found]
