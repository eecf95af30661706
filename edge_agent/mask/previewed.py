"""Masks of a Preview: what people who decide are shown of rows.

Nobody knows yet who will look, and a Preview is kept with its Request: so every class is masked in it, also those that
its caller may see. Here columns are known by name. Of a session that owes masks the server has told which views show
what; of others the names in the policies decide alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from edge_agent.mask.detect import Scan
from edge_agent.mask.forms import masked
from edge_agent.mask.owed import Masks
from edge_agent.mask.question import matcher
from edge_agent.preview.masking import HIDDEN, MaskColumn, Shown
from twokeys.data_class import STRICTNESS, DataClass, Form
from twokeys.effect import Classification, ObjectKind


class ForReviewers:
    """Implements `edge_agent.preview.masking.MaskRows`.

    Args:
        classes: All data classes.
        masks: The session's.
        classification: Of the Command that is previewed.
    """

    def __init__(self, classes: Sequence[DataClass], masks: Masks, classification: Classification) -> None:
        self._patterns = [(each.form, matcher(each.columns)) for each in classes if each.columns]
        tables = [pattern.rpartition(".")[0] + ".*" for each in classes for pattern in each.columns]
        self._tables = matcher(tables)
        self._masks = masks
        detectors = [detector for each in classes for detector in each.detect]
        self._scan = Scan(detectors) if detectors else None
        self._touches = bool(tables) and self._may_touch(classification)

    def mask(self, columns: Sequence[MaskColumn], rows: Sequence[Sequence[str | None]]) -> list[list[Shown]]:
        """See MaskRows."""
        forms = [self._form(column) for column in columns]
        return [[self._shown(form, value) for form, value in zip(forms, row, strict=True)] for row in rows]

    def _may_touch(self, classification: Classification) -> bool:
        if not classification.certain:
            return True
        for access in classification.accesses:
            name = access.object.name
            if access.object.kind is ObjectKind.FUNCTION or name in self._masks.columns.relations:
                return True
            if access.object.kind is ObjectKind.TABLE and (name.count(".") != 1 or self._matches_table(name)):
                return True
        return False

    def _matches_table(self, name: str) -> bool:
        return self._tables.fullmatch("\x1f".join((*name.split("."), "x"))) is not None

    def _form(self, column: MaskColumn) -> Form | None:
        if column.computed and self._touches:
            return Form.REDACT
        forms: list[Form] = []
        for relation, name in column.origins:
            if self._patterns and relation.count(".") != 1:
                return Form.REDACT
            spelled = "\x1f".join((*relation.split("."), name))
            forms += [form for form, regex in self._patterns if regex.fullmatch(spelled)]
            known = self._masks.columns.named.get((relation, name))
            forms += [known] if known is not None else []
        return max(forms, key=STRICTNESS.__getitem__, default=None)

    def _shown(self, form: Form | None, value: str | None) -> Shown:
        if value is None:
            return None
        if form in (Form.REDACT, Form.NULL):
            return HIDDEN
        data = value.encode("utf-8", "replace")
        if form is not None:
            shown = masked(form, data, self._masks.key)
            return HIDDEN if shown is None else shown.decode("utf-8", "replace")
        found = data if self._scan is None else self._scan.scrub(data)
        if self._scan is not None and self._scan.finds_escaped(found):
            return HIDDEN
        return value if found == data else found.decode("utf-8", "replace")
