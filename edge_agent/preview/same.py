"""Whether two parse trees are the same but for where they stand in their texts."""

from __future__ import annotations

from typing import Any, Final

from edge_agent.classify.depth import check_depth
from edge_agent.classify.limits import DEFAULT_LIMITS
from edge_agent.classify.parser import Tree, Unparsable, parse
from edge_agent.preview.clauses import NotRewritten

_WHERE: Final = frozenset(
    ("location", "stmt_location", "stmt_len", "list_start", "list_end", "rexpr_list_start", "rexpr_list_end")
)
"""Fields that say where a node stands; whatever else there is counts."""

_DIFFERS: Final = "the query made of it does not read as it does"


def same(left: Any, right: Any) -> bool:
    """Compare two trees, or parts of trees, without recursion: a text chooses how deep they are."""
    waiting = [(left, right)]
    while waiting:
        one, other = waiting.pop()
        if type(one) is not type(other):
            return False
        if isinstance(one, dict):
            keys = one.keys() - _WHERE
            if keys != other.keys() - _WHERE:
                return False
            waiting.extend((one[key], other[key]) for key in keys)
        elif isinstance(one, list):
            if len(one) != len(other):
                return False
            waiting.extend(zip(one, other, strict=True))
        elif one != other:
            return False
    return True


def only_statement(text: bytes, kind: str) -> Tree:
    """The one statement of a text that we made. Raises NotRewritten when it is not one of this kind."""
    try:
        check_depth(text, DEFAULT_LIMITS)
        statements = parse(text)
    except Unparsable as error:
        raise NotRewritten(_DIFFERS) from error
    if len(statements) != 1 or kind not in statements[0]["stmt"]:
        raise NotRewritten(_DIFFERS)
    node: Tree = statements[0]["stmt"][kind]
    return node


def require(ok: bool) -> None:
    """Raise NotRewritten unless the trees agree."""
    if not ok:
        raise NotRewritten(_DIFFERS)
