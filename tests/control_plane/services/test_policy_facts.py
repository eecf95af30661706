"""What a policy text says about itself."""

from __future__ import annotations

import pytest

from control_plane.chalicelib.services.policy_facts import approving_policies, changed_subjects, reviewer_groups
from tests.control_plane.world import World
from twokeys.errors import InvalidInput, Refused
from twokeys.policy import STARTER_TEXT


def test_the_starter_policy_is_reviewed_by_reviewers() -> None:
    assert reviewer_groups(STARTER_TEXT) == {"reviewers"}
    assert approving_policies(STARTER_TEXT) == {"starter-reviewers"}


@pytest.mark.parametrize(
    "text",
    [
        '@id("a")\npermit (principal in Group::"dba", action, resource);',
        '@id("a")\npermit (principal, action in [Action::"read", Action::"approve"], resource)\n'
        'when { principal in Group::"dba" };',
        '@id("a")\nforbid (principal, action == Action::"approve", resource)\n'
        'unless { principal in Group::"d\\u{62}a" };',
    ],
)
def test_reviewer_groups_are_found_wherever_they_stand_and_however_they_are_spelled(text: str) -> None:
    assert reviewer_groups(text) == {"dba"}


def test_groups_of_other_actions_are_no_reviewers() -> None:
    assert not reviewer_groups('@id("a")\npermit (principal in Group::"dev", action == Action::"read", resource);')


def test_a_change_names_what_it_touches() -> None:
    one, two = '@id("a")\npermit (principal, action, resource);', '@id("b")\nforbid (principal, action, resource);'
    assert changed_subjects(one, f"{one}\n// only a comment") == []
    assert changed_subjects(one, f"{one}{two}") == ["policy:b"]
    assert changed_subjects(f"{one}{two}", one) == ["policy:*"]
    assert changed_subjects(one, one.replace("permit", "forbid")) == ["policy:a"]


def test_only_owners_and_reviewers_change_policies(a_world: World) -> None:
    zoe = a_world.add_person("zoe", "auditors")
    with pytest.raises(Refused):
        a_world.services.policies.propose(zoe, STARTER_TEXT, "", 1)
    with pytest.raises(InvalidInput, match="no @id"):
        a_world.services.policies.propose(a_world.person("ann"), "permit (principal, action, resource);", "", 1)
