"""A Preview: what a held Command would do, computed by the Edge before anybody decides, and shown to whoever does.

    the Edge computes it, masks it ──▶ its digest stands in the Request, in each vote and in the signed Approval
                                   └─▶ its bytes are kept where the Command's are: they hold values

It is evidence, not permission: an Approval covers the Command's bytes. Only its exact count of rows bounds what runs.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec

from twokeys.digest import canonical, sha256
from twokeys.errors import InvalidInput

MAX_PREVIEW_BYTES: Final = 64 * 1024
"""Longest Preview, as canonical JSON. A longer one loses rows of its sample until it fits."""

MAX_ROWS: Final = 20
"""Most rows of a sample."""

MAX_COLUMNS: Final = 32
"""Most columns of a sample."""

MAX_CELL_CHARACTERS: Final = 200
"""Longest value shown; a longer one is cut, and says so."""

MAX_BODY_CHARACTERS: Final = 16 * 1024
"""Longest body of a function, DO block or prepared statement shown."""

MAX_LINES: Final = 40
"""Most locks, side effects or sentences of one Preview."""

_PREFIX: Final = b"twokeys/preview/v1\n"

Name = Annotated[str, msgspec.Meta(max_length=256)]
Line = Annotated[str, msgspec.Meta(max_length=1024)]
Lines = Annotated[list[Line], msgspec.Meta(max_length=MAX_LINES)]
Rows = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What every part of a Preview is."""


class Cell(_Part, frozen=True, kw_only=True):
    """One value as PostgreSQL writes it. `null`: SQL NULL; `cut`: there is more; `masked`: policy hides it."""

    text: Annotated[str, msgspec.Meta(max_length=MAX_CELL_CHARACTERS)] = ""
    null: bool = False
    cut: bool = False
    masked: bool = False


Cells = Annotated[list[Cell], msgspec.Meta(max_length=MAX_COLUMNS)]


class Row(_Part, frozen=True, kw_only=True):
    """One row of the sample: its values before and after; one of both is empty for what appears or goes."""

    before: Cells = []
    after: Cells = []


class Column(_Part, frozen=True, kw_only=True):
    """A column of the sample. `assigned`: the statement gives it a value; `key`: part of the primary key."""

    name: Name
    assigned: bool = False
    key: bool = False


class Plan(_Part, frozen=True, kw_only=True):
    """The server's plan of finding the rows: its topmost node, estimated rows, cost in the planner's own units."""

    node: Name
    rows: Rows
    cost: Name


class Lock(_Part, frozen=True, kw_only=True):
    """A lock that the statement takes: on what, which mode, and what waits meanwhile, in words."""

    on: Line
    mode: Name
    blocks: Line


class SideEffect(_Part, frozen=True, kw_only=True):
    """What else happens: a trigger, a rule, a foreign key's action or a row-level policy of the target."""

    kind: Annotated[str, msgspec.Meta(pattern=r"^(trigger|rule|cascade|policy|partition)\Z")]
    name: Line
    does: Line = ""


class Preview(_Part, frozen=True, kw_only=True):
    """What a Command would do.

    Args:
        action: The statement in the protocol's words, e.g. ``UPDATE``.
        target: The relation it changes, as the statement finds it; empty when it is none or many.
        rows: The exact number of rows it would change now; None when that is not known.
        columns: Of the sample.
        sample: Some of the rows.
        plan: Of finding the rows; None when it was not asked for.
        locks: Locks of DDL.
        effects: What else happens, by the catalogue.
        body: Source text that would run: of a prepared statement, a DO block, or what CALL calls.
        body_cut: There is more of it.
        why: Why something is not previewed, in sentences.
        notes: What the figures do not include, in sentences.
    """

    action: Name
    target: Line = ""
    rows: Rows | None = None
    columns: Annotated[list[Column], msgspec.Meta(max_length=MAX_COLUMNS)] = []
    sample: Annotated[list[Row], msgspec.Meta(max_length=MAX_ROWS)] = []
    plan: Plan | None = None
    locks: Annotated[list[Lock], msgspec.Meta(max_length=MAX_LINES)] = []
    effects: Annotated[list[SideEffect], msgspec.Meta(max_length=MAX_LINES)] = []
    body: Annotated[str, msgspec.Meta(max_length=MAX_BODY_CHARACTERS)] = ""
    body_cut: bool = False
    why: Lines = []
    notes: Lines = []

    def __post_init__(self) -> None:
        width = len(self.columns)
        for row in self.sample:
            if not (row.before or row.after) or {len(row.before), len(row.after)} - {0, width}:
                raise ValueError("a row of a preview has other columns than the preview")


def to_bytes(preview: Preview) -> bytes:
    """Canonical JSON of a Preview, with as many rows of its sample as fit.

    Raises:
        InvalidInput: when it is over `MAX_PREVIEW_BYTES` without any.
    """
    rows = len(preview.sample)
    while True:
        data = canonical(msgspec.to_builtins(msgspec.structs.replace(preview, sample=preview.sample[:rows])))
        if len(data) <= MAX_PREVIEW_BYTES:
            return data
        if not rows:
            raise InvalidInput(f"A preview is over {MAX_PREVIEW_BYTES} bytes.", not_done="It was not sent.",
                               code="preview_too_large")  # fmt: skip
        rows //= 2


def read_preview(data: bytes) -> Preview:
    """Read the canonical JSON of a Preview. Raises InvalidInput for anything else, code ``malformed_preview``."""
    if len(data) > MAX_PREVIEW_BYTES:
        raise _malformed()
    try:
        preview = msgspec.json.decode(data, type=Preview)
        plain: Any = msgspec.to_builtins(preview)
        same = canonical(plain) == data
    except (msgspec.DecodeError, InvalidInput, RecursionError) as error:
        raise _malformed() from error
    if not same:
        raise _malformed()
    return preview


def stored_bytes(data: bytes) -> bytes:
    """What is digested and kept: the versioned type name, then the canonical JSON. Its SHA-256 is the digest."""
    return _PREFIX + data


def preview_digest(data: bytes) -> str:
    """The digest of a Preview's canonical JSON (`twokeys.digest.digest` of type ``preview``), 64 hexadecimal digits."""
    return sha256(stored_bytes(data))


def read_stored(stored: bytes) -> Preview:
    """Read what `stored_bytes` made. Raises InvalidInput."""
    if not stored.startswith(_PREFIX):
        raise _malformed()
    return read_preview(stored[len(_PREFIX) :])


def _malformed() -> InvalidInput:
    return InvalidInput("A preview is not in its canonical form.", not_done="It was not read.",
                        code="malformed_preview")  # fmt: skip
