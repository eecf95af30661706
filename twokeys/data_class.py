"""Data classes: which columns hold what, who sees it, and what others see instead.

A class is defined by the policies about it, so that it is signed, versioned and changed as they are:

    @id("who-sees-mail") @columns("shop.customers.email shop.*.mail") @form("partial") @detect("email")
    permit (principal in Group::"support", action == Action::"reveal", resource == DataClass::"pii.email");

A class that nobody may see is defined by a `forbid`. A caller to whom `reveal` is not permitted is owed the mask.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

MAX_PATTERNS: Final = 500
"""Most column patterns of all classes together."""

MAX_CLASSES: Final = 100
"""Most data classes of one policy set."""

CLASS_NOTES: Final = frozenset({"columns", "form", "detect"})
"""The annotations that define a class."""

_PART: Final = re.compile(r"[^\s.\"'\\,]{1,63}")


class Form(enum.StrEnum):
    """What a caller sees instead, the mildest first; a column of several classes shows the last of theirs."""

    PARTIAL = "partial"
    HASH = "hash"
    REDACT = "redact"
    NULL = "null"


STRICTNESS: Final = {form: at for at, form in enumerate(Form)}
"""Order of the forms."""


class Detector(enum.StrEnum):
    """What can be found in values by what they look like."""

    EMAIL = "email"
    CARD = "card"
    PHONE = "phone"
    IBAN = "iban"
    NATIONAL_ID = "national-id"
    JWT = "jwt"
    KEY = "key"


@dataclass(frozen=True, slots=True)
class DataClass:
    """One data class.

    Args:
        name: As policies name it, ``pii.email``.
        columns: Patterns ``schema.table.column``; ``*`` and ``?`` stand for any characters of one part.
        form: What is shown instead.
        detect: What to look for in every text that such a caller is shown.
    """

    name: str
    columns: tuple[str, ...]
    form: Form = Form.REDACT
    detect: tuple[Detector, ...] = ()


def data_classes(policies: Iterable[Mapping[str, Any]]) -> tuple[DataClass, ...]:
    """The classes that these policies define.

    Args:
        policies: As Cedar's JSON form has them, with annotations.

    Raises:
        ValueError: in words, for an annotation that can't be read or stands where it means nothing.
    """
    found: dict[str, list[DataClass]] = {}
    for policy in policies:
        notes = policy.get("annotations", {})
        if not CLASS_NOTES & set(notes):
            continue
        name = _class_of(policy)
        if not name or not {"columns", "detect"} & set(notes):
            raise ValueError(
                f"{notes.get('id', '')!r} has @columns, @form or @detect, which stand on a policy with "
                'action == Action::"reveal" and resource == DataClass::"…"; @form beside one of the others'
            )
        found.setdefault(name, []).append(_one(name, notes))
    if len(found) > MAX_CLASSES or sum(len(one.columns) for each in found.values() for one in each) > MAX_PATTERNS:
        raise ValueError(f"it has over {MAX_CLASSES} data classes or {MAX_PATTERNS} column patterns")
    return tuple(_joined(name, parts) for name, parts in sorted(found.items()))


def _class_of(policy: Mapping[str, Any]) -> str:
    action, resource = policy.get("action", {}), policy.get("resource", {})
    entity = resource.get("entity", {})
    reveals = action.get("op") == "==" and action.get("entity", {}).get("id") == "reveal"
    return str(entity["id"]) if reveals and resource.get("op") == "==" and entity.get("type") == "DataClass" else ""


def _one(name: str, notes: Mapping[str, str]) -> DataClass:
    patterns, spelled = notes.get("columns", "").split(), notes.get("form", Form.REDACT.value)
    for pattern in patterns:
        parts = pattern.split(".")
        if len(parts) != 3 or not all(_PART.fullmatch(part) for part in parts):
            raise ValueError(f"{pattern!r} in @columns of {notes.get('id', '')!r} is no schema.table.column")
    try:
        return DataClass(name, tuple(patterns), Form(spelled), tuple(map(Detector, notes.get("detect", "").split())))
    except ValueError as error:
        forms, detectors = ", ".join(Form), ", ".join(Detector)
        raise ValueError(f"@form is one of {forms}, and @detect some of {detectors}: {error}") from error


def _joined(name: str, parts: list[DataClass]) -> DataClass:
    if len({part.form for part in parts}) > 1:
        raise ValueError(f"the policies about the data class {name!r} differ in @form")
    columns = dict.fromkeys(pattern for part in parts for pattern in part.columns)
    detect = dict.fromkeys(detector for part in parts for detector in part.detect)
    return DataClass(name, tuple(columns), parts[0].form, tuple(detect))
