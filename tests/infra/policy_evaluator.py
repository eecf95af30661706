"""IAM's verdicts, as far as our documents use its language: an explicit denial, else an allowance, else a denial.

    a call ──▶ denied by any document?  ──▶ no
           ──▶ allowed by the caller's role (and by the session's policy, where there is one)?
           ──▶ or by the resource itself? KMS keys and roles: only where the resource says so too

Source: IAM user guide, "Policy evaluation logic" and "IAM JSON policy elements: Condition operators". What is not
written here (an operator, an element) is an error, never passed over.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

Document = Mapping[str, Any]

ELEMENTS: Final = frozenset(
    {"Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Principal", "Condition"}
)


@dataclass(frozen=True, slots=True)
class Call:
    """A call of AWS.

    Args:
        principal: ARN of who calls, a role's for its sessions; a service by its domain name.
        action: ``service:Action``.
        resource: ARN.
        context: Values of condition keys; a list for a key of several values. TLS unless it says otherwise.
    """

    principal: str
    action: str
    resource: str
    context: Mapping[str, str | Sequence[str]] = field(default_factory=dict)

    def value(self, key: str) -> list[str] | None:
        """Values of a condition key, in any case; None when the request has none."""
        known: dict[str, str | Sequence[str]] = {"aws:SecureTransport": "true"}
        if self.principal.startswith("arn:"):
            known["aws:PrincipalArn"] = self.principal
        known |= self.context
        for name, value in known.items():
            if name.lower() == key.lower():
                return [value] if isinstance(value, str) else list(value)
        return None


def allowed(
    call: Call,
    identity: Sequence[Document],
    resource: Document | None = None,
    session: Document | None = None,
    *,
    resource_must_agree: bool = False,
) -> bool:
    """Whether a call inside one account goes through.

    Args:
        call: The call.
        identity: Policies of the caller.
        resource: The resource's own policy.
        session: Narrows the caller's policies.
        resource_must_agree: For KMS keys and roles to assume: their own policy must allow it (to the account's root is
            to leave it to IAM).
    """
    documents = [*identity, *([resource] if resource else []), *([session] if session else [])]
    if any(effect == "Deny" for one in documents for effect in effects(call, one)):
        return False
    by_identity = any("Allow" in effects(call, one) for one in identity)
    if session is not None:
        by_identity = by_identity and "Allow" in effects(call, session)
    if resource is None:
        return by_identity
    by_resource = "Allow" in effects(call, resource)
    if resource_must_agree:
        return by_resource and (by_identity or not _by_account(call, resource))
    return by_identity or (by_resource and not _by_account(call, resource))


def effects(call: Call, document: Document) -> list[str]:
    """Effects of a document's statements that match a call."""
    return [one["Effect"] for one in _statements(document) if _matches(call, one)]


def _by_account(call: Call, document: Document) -> bool:
    """Whether every allowance is one to the account as a whole, which leaves the decision to IAM."""
    allowing = [one for one in _statements(document) if one["Effect"] == "Allow" and _matches(call, one)]
    return all(any(name.endswith(":root") for name in _principals(one)) for one in allowing)


def _statements(document: Document) -> Iterator[Mapping[str, Any]]:
    assert document["Version"] == "2012-10-17"
    for statement in _listed(document["Statement"]):
        if strange := statement.keys() - ELEMENTS:
            raise NotImplementedError(f"element {sorted(strange)}")
        assert statement["Effect"] in {"Allow", "Deny"}
        yield statement


def _matches(call: Call, statement: Mapping[str, Any]) -> bool:
    return (
        _principal_matches(call, statement)
        and _among(call.action, statement, "Action", ignore_case=True)
        and _among(call.resource, statement, "Resource", ignore_case=False)
        and all(
            _holds(operator, key, _listed(wanted), call)
            for operator, keys in statement.get("Condition", {}).items()
            for key, wanted in keys.items()
        )
    )


def _principals(statement: Mapping[str, Any]) -> list[str]:
    principal = statement.get("Principal", [])
    if isinstance(principal, Mapping):
        return [name for names in principal.values() for name in _listed(names)]
    return _listed(principal)


def _principal_matches(call: Call, statement: Mapping[str, Any]) -> bool:
    if "Principal" not in statement:
        return True
    account = call.principal.split(":")[4] if call.principal.startswith("arn:") else ""
    return any(
        name in {"*", call.principal} or (bool(account) and name.endswith(f"::{account}:root"))
        for name in _principals(statement)
    )


def _among(value: str, statement: Mapping[str, Any], element: str, *, ignore_case: bool) -> bool:
    if f"Not{element}" in statement:
        return not any(_like(value, one, ignore_case) for one in _listed(statement[f"Not{element}"]))
    if element not in statement:
        # A trust policy has no resource: it is the role's own.
        return element == "Resource"
    return any(_like(value, one, ignore_case) for one in _listed(statement[element]))


def _like(value: str, pattern: str, ignore_case: bool = False) -> bool:
    """``*`` and ``?``, nothing else: brackets are themselves."""
    if ignore_case:
        value, pattern = value.lower(), pattern.lower()
    escaped = pattern.replace("[", "[[]")
    return re.fullmatch(fnmatch.translate(escaped), value) is not None


def _holds(operator: str, key: str, wanted: list[str], call: Call) -> bool:
    found = call.value(key)
    if operator == "Null":
        return (found is None) == (wanted == ["true"])
    quantifier, _, rest = operator.rpartition(":")
    name = rest.removesuffix("IfExists")
    test = TESTS.get(name)
    if test is None or quantifier not in {"", "ForAllValues", "ForAnyValue"}:
        raise NotImplementedError(f"operator {operator}")
    if found is None:
        # Absent: a negated comparison is true, one for all values too, any other false.
        return operator.endswith("IfExists") or quantifier == "ForAllValues" or "Not" in name
    if quantifier == "ForAllValues":
        return all(test(one, wanted) for one in found)
    if quantifier == "ForAnyValue":
        return any(test(one, wanted) for one in found)
    (only,) = found
    return test(only, wanted)


TESTS: Final[Mapping[str, Callable[[str, list[str]], bool]]] = {
    "StringEquals": lambda value, wanted: value in wanted,
    "StringNotEquals": lambda value, wanted: value not in wanted,
    "StringLike": lambda value, wanted: any(_like(value, one) for one in wanted),
    "StringNotLike": lambda value, wanted: not any(_like(value, one) for one in wanted),
    "ArnEquals": lambda value, wanted: any(_like(value, one) for one in wanted),
    "ArnLike": lambda value, wanted: any(_like(value, one) for one in wanted),
    "ArnNotEquals": lambda value, wanted: not any(_like(value, one) for one in wanted),
    "Bool": lambda value, wanted: value.lower() in [one.lower() for one in wanted],
}


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]
