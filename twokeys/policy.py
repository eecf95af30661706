"""Policies: Cedar text in, Decisions out.

    Command's accesses ──▶ per object: effect's action permitted?  yes ─▶ Allow
                                       request action permitted?   yes ─▶ Hold
                                       else                             ─▶ Deny        worst object wins

Nothing matches means Deny, for reads too. Forbid beats permit. A policy that can't be evaluated denies: Cedar itself
would skip it, which for a forbid would fail open. The built-in nevers are part of every set.

Annotations that policies may carry: `@id` (required, unique), `@advice` (shown to the caller), `@approvals("2")`
(distinct people a hold needs), `@sensitive("true")` (an allowed read is on disk before it is forwarded), `@wait("5")`
(a hold answers its caller after so many seconds, and its Request goes on as a retry grant: see `twokeys.request`),
`@in_transaction("30")` (most seconds of a hold inside an open transaction, which keeps locks),
`@rows("10") @minutes("60")` (of a permit on `requestWrite`: INSERT, UPDATE, DELETE or MERGE by itself passes without
asking while its caller has changed at most so many rows at the target in so many minutes, 60 where not said).

`@columns`, `@form` and `@detect`, of a policy about `reveal`, define a data class: see `twokeys.data_class`.

Source: Cedar language reference, https://docs.cedarpolicy.com/.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import cedarpy

from twokeys.caller import Caller, CallerKind
from twokeys.data_class import CLASS_NOTES, DataClass, data_classes
from twokeys.decision import Decision, Outcome, RowBudget
from twokeys.effect import Access, Classification, Effect, ObjectKind, ObjectRef
from twokeys.errors import InvalidInput, Refused

MAX_POLICY_BYTES: Final = 256 * 1024
"""Longest policy text accepted."""

MAX_POLICIES: Final = 1000
"""Most policies in one set; evaluation time grows with their number."""

MAX_APPROVALS: Final = 9
"""Most approvals that one policy may ask for."""

MAX_WAIT_SECONDS: Final = 86400
"""Longest `@wait`."""

_OPEN: Final = "in_transaction"
"""Annotation: most seconds of a hold inside an open transaction, `MAX_WAIT_SECONDS` at most."""

MAX_BUDGET_ROWS: Final = 10_000
"""Highest `@rows`."""

MAX_BUDGET_MINUTES: Final = 1440
"""Highest `@minutes`; a window is in the Edge's memory, and a restart empties it."""

COUNTED_KINDS: Final = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE"})
"""Statements whose rows the server counts; nothing else has a budget."""

RESERVED_PREFIX: Final = "twokeys-"
"""Policy ids that only the built-in nevers carry."""

SCHEMA_TEXT: Final = Path(__file__).with_name("schema.cedarschema").read_text("utf-8")
NEVERS_TEXT: Final = Path(__file__).with_name("nevers.cedar").read_text("utf-8")
STARTER_TEXT: Final = Path(__file__).with_name("starter.cedar").read_text("utf-8")

_SCHEMA: Final = cedarpy.Schema.from_str(SCHEMA_TEXT)

_REQUEST_ACTION: Final = {
    Effect.READ: "requestRead",
    Effect.WRITE: "requestWrite",
    Effect.DDL: "requestDdl",
    Effect.PRIVILEGED: "requestPrivileged",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What an approver would approve, as policies see it.

    Args:
        request_id: The Request.
        target: Its target.
        requester: Caller id of who asked.
        effect: The worst effect.
        excluded: Ids that may never approve this one: sponsor, linked accounts, recent editors.
    """

    request_id: str
    target: str
    requester: str
    effect: Effect
    excluded: frozenset[str]


class Policies:
    """A validated policy set, ready to be asked."""

    def __init__(self, text: str, revision: int) -> None:
        """Parse and validate.

        Args:
            text: Cedar policies of the deployment, without the nevers.
            revision: The revision that Decisions will carry.

        Raises:
            InvalidInput: with the validator's own words, when the text is too long, doesn't parse, doesn't validate
                against the schema, has a policy without `@id`, a double or reserved id, or a bad annotation.
        """
        if len(text.encode("utf-8")) > MAX_POLICY_BYTES:
            raise _invalid(f"it is over {MAX_POLICY_BYTES} bytes")
        self.text = text
        self.revision = revision
        parsed = _parsed(text)
        annotations = _annotations(parsed)
        _check_annotations(annotations)
        try:
            self.classes = data_classes(parsed)
        except ValueError as error:
            raise _invalid(str(error)) from error
        whole = NEVERS_TEXT + "\n" + text
        everything = [*_annotations(_parsed(NEVERS_TEXT)), *annotations]
        result = cedarpy.validate_policies(whole, _SCHEMA)
        if not result.validation_passed:
            raise _invalid("; ".join(_named(str(error.error), everything) for error in result.errors[:5]))
        self._annotations = {item["id"]: item for item in everything}
        self._policies = cedarpy.PolicySet.from_str(whole)

    def decide(self, caller: Caller, target: str, classification: Classification, protocol: str) -> Decision:
        """Decide about one classified Command.

        Args:
            caller: Who asks.
            target: Target id.
            classification: What the Command does.
            protocol: `simple`, `extended`, …; a context value.

        Returns:
            The worst Decision over the objects; DENY on any evaluation error.
        """
        context = {
            "statement": classification.kind,
            "protocol": protocol,
            "statements": classification.statements,
            "certain": classification.certain,
        }
        decisions = [self._decide_access(caller, target, access, context) for access in classification.accesses]
        outcome = max(decision.outcome for decision in decisions)
        worst = [decision for decision in decisions if decision.outcome is outcome]
        return Decision(
            outcome,
            policies=tuple(sorted({policy for decision in worst for policy in decision.policies})),
            advice=tuple(sorted({advice for decision in worst for advice in decision.advice})),
            approvals=max(decision.approvals for decision in worst),
            revision=self.revision,
            sensitive=any(decision.sensitive for decision in decisions),
            wait=min((decision.wait for decision in worst if decision.wait is not None), default=None),
            budget=_budget_of(worst, classification),
            in_transaction=min((one.in_transaction for one in worst if one.in_transaction is not None), default=None),
        )

    def _decide_access(self, caller: Caller, target: str, access: Access, context: Mapping[str, Any]) -> Decision:
        entities = json.dumps([*_caller_entities(caller), *_object_entities(target, access.object)])
        denied: list[str] = []
        for action, outcome in ((access.effect.word, Outcome.ALLOW), (_REQUEST_ACTION[access.effect], Outcome.HOLD)):
            permitted, ids = self._ask(caller.id, action, _object_uid(target, access.object), entities, context)
            if permitted:
                # A hold also tells which forbid, if any, kept it from being an allow.
                found = self._decision(outcome, [*ids, *denied])
                counts = outcome is Outcome.HOLD and access.effect is Effect.WRITE and not denied
                return replace(found, budget=self._budget(ids)) if counts else found
            denied.extend(ids)
        return self._decision(Outcome.DENY, denied)

    def _budget(self, ids: Iterable[str]) -> RowBudget | None:
        """The least of these policies' budgets."""
        budgeted = [item for one in ids if "rows" in (item := self._annotations.get(one, {}))]
        if not budgeted:
            return None
        minutes = max(int(item.get("minutes", "60")) for item in budgeted)
        return RowBudget(min(int(item["rows"]) for item in budgeted), minutes)

    def owed(self, caller: Caller, target: str) -> tuple[DataClass, ...]:
        """The data classes that this caller is shown masked at a target: those it may not `reveal`."""
        owed = []
        for each in self.classes:
            uid = _uid("DataClass", each.name)
            entities = json.dumps([*_caller_entities(caller), {"uid": uid, "attrs": {}, "parents": []}])
            permitted, _ = self._ask(caller.id, "reveal", uid, entities, {"target": target})
            if not permitted:
                owed.append(each)
        return tuple(owed)

    def may_approve(self, person: Caller, asked: Asked) -> Decision:
        """Whether this person may approve: ALLOW or DENY, never HOLD."""
        request = {
            "uid": _uid("Request", asked.request_id),
            "parents": [_uid("Database", asked.target)],
            "attrs": {
                "target": asked.target,
                "requester": {"__entity": _uid("Caller", asked.requester)},
                "effect": asked.effect.word,
                "excluded": [{"__entity": _uid("Caller", one)} for one in sorted(asked.excluded)],
            },
        }
        entities = json.dumps(
            [*_caller_entities(person), request, *_object_entities(asked.target, ObjectRef(ObjectKind.DATABASE))]
        )
        permitted, ids = self._ask(person.id, "approve", _uid("Request", asked.request_id), entities, {})
        return self._decision(Outcome.ALLOW if permitted else Outcome.DENY, ids)

    def _ask(
        self, principal: str, action: str, resource: Mapping[str, str], entities: str, context: Mapping[str, Any]
    ) -> tuple[bool, list[str]]:
        answer = cedarpy.is_authorized(
            {
                "principal": _uid("Caller", principal),
                "action": _uid("Action", action),
                "resource": dict(resource),
                "context": dict(context),
            },
            self._policies,
            entities,
            _SCHEMA,
        )
        ids = sorted(answer.diagnostics.id_annotations_by_reason.values())
        if answer.diagnostics.errors:
            return False, ids
        return bool(answer.allowed), ids

    def _decision(self, outcome: Outcome, ids: Iterable[str]) -> Decision:
        found = [self._annotations[one] for one in ids if one in self._annotations]
        return Decision(
            outcome,
            policies=tuple(sorted({item["id"] for item in found})),
            advice=tuple(sorted({item["advice"] for item in found if "advice" in item})),
            approvals=max((int(item["approvals"]) for item in found if "approvals" in item), default=1),
            revision=self.revision,
            sensitive=any(item.get("sensitive") == "true" for item in found),
            wait=min((int(item["wait"]) for item in found if "wait" in item), default=None),
            in_transaction=min((int(item[_OPEN]) for item in found if _OPEN in item), default=None),
        )


def _budget_of(worst: Sequence[Decision], classification: Classification) -> RowBudget | None:
    """What all of them leave: none unless each has one, of a statement whose rows the server counts."""
    budgets = [decision.budget for decision in worst if decision.budget is not None]
    counted = classification.certain and classification.statements == 1 and classification.kind in COUNTED_KINDS
    if not counted or len(budgets) < len(worst) or not budgets:
        return None
    return RowBudget(min(one.most for one in budgets), max(one.minutes for one in budgets))


def principal_for(person_id: str, groups: tuple[str, ...]) -> Caller:
    """A registered person as a policy principal."""
    return Caller(person_id, CallerKind.PERSON, groups=groups)


def _uid(type_name: str, entity_id: str) -> dict[str, str]:
    return {"type": type_name, "id": entity_id}


def _object_uid(target: str, ref: ObjectRef) -> dict[str, str]:
    match ref.kind:
        case ObjectKind.DATABASE:
            return _uid("Database", target)
        case ObjectKind.TABLE:
            return _uid("Table", f"{target}.{ref.name}")
        case ObjectKind.FUNCTION:
            return _uid("Function", f"{target}.{ref.name}")


def _object_entities(target: str, ref: ObjectRef) -> list[dict[str, Any]]:
    entities: list[dict[str, Any]] = [{"uid": _uid("Database", target), "attrs": {"target": target}, "parents": []}]
    if ref.kind is not ObjectKind.DATABASE:
        schema, _, name = ref.name.partition(".")
        entities.append(
            {
                "uid": _object_uid(target, ref),
                "parents": [_uid("Database", target)],
                "attrs": {"target": target, "schema": schema, "name": name},
            }
        )
    return entities


def _caller_entities(caller: Caller) -> list[dict[str, Any]]:
    attrs: dict[str, Any] = {"kind": caller.kind.value}
    if caller.sponsor:
        attrs["sponsor"] = {"__entity": _uid("Caller", caller.sponsor)}
    groups = [_uid("Group", group) for group in caller.groups]
    return [
        {"uid": _uid("Caller", caller.id), "attrs": attrs, "parents": groups},
        *({"uid": group, "attrs": {}, "parents": []} for group in groups),
    ]


def _parsed(text: str) -> list[dict[str, Any]]:
    try:
        parsed = json.loads(cedarpy.policies_to_json_str(text))
    except ValueError as error:
        raise _invalid(str(error)) from error
    if parsed.get("templates"):
        raise _invalid("it holds a template; write each policy out")
    return list(parsed.get("staticPolicies", {}).values())


def _annotations(policies: list[dict[str, Any]]) -> list[dict[str, str]]:
    return [dict(policy.get("annotations", {})) for policy in policies]


def _check_annotations(annotations: list[dict[str, str]]) -> None:
    if len(annotations) > MAX_POLICIES:
        raise _invalid(f"it holds over {MAX_POLICIES} policies")
    ids = [item.get("id", "") for item in annotations]
    if not all(ids):
        raise _invalid("a policy has no @id annotation")
    if len(set(ids)) != len(ids):
        raise _invalid(f"the id {next(one for one in ids if ids.count(one) > 1)!r} stands twice")
    for item in annotations:
        if item["id"].startswith(RESERVED_PREFIX):
            raise _invalid(f"the id {item['id']!r} is reserved")
        if not _is_number(item.get("approvals", "1"), 1, MAX_APPROVALS):
            raise _invalid(f"@approvals of {item['id']!r} is no number from 1 to {MAX_APPROVALS}")
        if not _is_number(item.get("wait", "0"), 0, MAX_WAIT_SECONDS):
            raise _invalid(f"@wait of {item['id']!r} is no number from 0 to {MAX_WAIT_SECONDS}")
        if not _is_number(item.get(_OPEN, "1"), 1, MAX_WAIT_SECONDS):
            raise _invalid(f"@in_transaction of {item['id']!r} is no number from 1 to {MAX_WAIT_SECONDS}")
        if not _is_number(item.get("rows", "1"), 1, MAX_BUDGET_ROWS):
            raise _invalid(f"@rows of {item['id']!r} is no number from 1 to {MAX_BUDGET_ROWS}")
        lonely = "minutes" in item and "rows" not in item
        if lonely or not _is_number(item.get("minutes", "1"), 1, MAX_BUDGET_MINUTES):
            raise _invalid(f"@minutes of {item['id']!r} is no number from 1 to {MAX_BUDGET_MINUTES} beside a @rows")
        if item.get("sensitive", "true") != "true":
            raise _invalid(f'@sensitive of {item["id"]!r} can only be "true"')
        known = {"id", "advice", "approvals", "sensitive", "wait", "rows", "minutes", _OPEN} | CLASS_NOTES
        if unknown := sorted(set(item) - known):
            raise _invalid(f"{item['id']!r} has the unknown annotation @{unknown[0]}")


def _is_number(text: str, lowest: int, highest: int) -> bool:
    return text.isdecimal() and text.isascii() and len(text) < 10 and lowest <= int(text) <= highest


def _named(message: str, annotations: list[dict[str, str]]) -> str:
    """The validator counts policies (`policy7`, the nevers first); a person wants the `@id`."""

    def name(match: re.Match[str]) -> str:
        number = int(match[1])
        return repr(annotations[number]["id"]) if number < len(annotations) else match[0]

    return re.sub(r"`policy(\d{1,6})`", name, message)


def _invalid(why: str) -> InvalidInput:
    return InvalidInput(
        f"The policy is not valid: {why}.",
        not_done="It was not taken; the old one stays.",
        advice="Mend the text and send it again.",
        code="invalid_policy",
    )


def refuse_unless_allowed(decision: Decision, what: str) -> None:
    """Raise Refused with the policies' advice unless the Decision is ALLOW."""
    if decision.outcome is not Outcome.ALLOW:
        raise Refused(
            f"Policy does not permit to {what} ({', '.join(decision.policies) or 'no policy matches'}).",
            not_done="Nothing was decided.",
            advice=" ".join(decision.advice),
            code="policy_denied",
        )
