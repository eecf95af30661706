"""What a policy text says about itself, read from Cedar's own parse: groups that review, and what a change touches."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from typing import Any, Final

import cedarpy

from twokeys.policy import Policies

from ..ports import policies as port

_APPROVE: Final = "approve"


class CurrentPolicy:
    """The policy in force, parsed once for each revision."""

    def __init__(self, store: port.Policies) -> None:
        self._store = store
        self._parsed: tuple[port.PolicyVersion, Policies] | None = None

    def get(self) -> tuple[port.PolicyVersion, Policies]:
        """The version in force, and its policies. Raises Unavailable before the bootstrap."""
        version = self._store.current()
        parsed = self._parsed
        if parsed is None or parsed[0].revision != version.revision:
            parsed = self._parsed = (version, Policies(version.text, version.revision))
        return parsed


@functools.lru_cache(maxsize=8)
def reviewer_groups(text: str) -> frozenset[str]:
    """Groups that any policy names which could permit, or forbid, to approve."""
    policies = _policies(text)
    return frozenset(group for one in approving_policies(text) for group in _groups(policies[one]))


@functools.lru_cache(maxsize=8)
def approving_policies(text: str) -> frozenset[str]:
    """Ids of the policies that could permit, or forbid, to approve."""
    return frozenset(
        one for one, policy in _policies(text).items() if _may_be_about(policy.get("action", {}), _APPROVE)
    )


def changed_subjects(before: str, after: str) -> list[str]:
    """What a change of the policy edits: ``policy:<id>`` of each that is new or another; ``policy:*`` when one is gone.

    One that is gone has no id in any later decision, and may be the forbid that would have denied it.
    """
    old, new = _policies(before), _policies(after)
    changed = {f"policy:{one}" for one in new if old.get(one) != new[one]}
    if set(old) - set(new):
        changed.add("policy:*")
    return sorted(changed)


def _policies(text: str) -> dict[str, dict[str, Any]]:
    """Policies by their `@id`, as Cedar's JSON (https://docs.cedarpolicy.com/policies/json-format.html)."""
    parsed = json.loads(cedarpy.policies_to_json_str(text)).get("staticPolicies", {})
    return {policy["annotations"]["id"]: policy for policy in parsed.values()}


def _may_be_about(action: dict[str, Any], name: str) -> bool:
    """Whether an action scope may cover this action: only one that names others does not."""
    if action.get("op") in ("==", "in"):
        named = [action["entity"]] if "entity" in action else action.get("entities", [])
        return not named or any(one.get("id") == name for one in named)
    return True


def _groups(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if value.get("type") == "Group" and isinstance(value.get("id"), str):
            yield value["id"]
        for item in value.values():
            yield from _groups(item)
    elif isinstance(value, list):
        for item in value:
            yield from _groups(item)
