"""One statement of a text, taken apart as far as a preview needs it."""

from __future__ import annotations

from dataclasses import dataclass

from edge_agent.classify.depth import check_depth
from edge_agent.classify.limits import DEFAULT_LIMITS as SQL_LIMITS
from edge_agent.classify.parser import Tree, Unparsable, parse
from edge_agent.preview.change import rewrite_delete, rewrite_update
from edge_agent.preview.clauses import NotRewritten, words_of
from edge_agent.preview.insert import rewrite_insert
from edge_agent.preview.limits import PreviewLimits
from edge_agent.preview.merge import rewrite_merge
from edge_agent.preview.rewrite import Rewriting
from edge_agent.preview.volatile import refuse_felt

_REWRITERS = {
    "UpdateStmt": rewrite_update,
    "DeleteStmt": rewrite_delete,
    "InsertStmt": rewrite_insert,
    "MergeStmt": rewrite_merge,
}


@dataclass(frozen=True, slots=True)
class Statement:
    """The only statement of a text: the name of its node, the node, and the RawStmt that holds it."""

    text: bytes
    kind: str
    node: Tree
    raw: Tree


def read_statement(text: bytes, limits: PreviewLimits) -> Statement:
    """Read the one statement of a text. Raises NotRewritten, with the reason in words that end a sentence."""
    if len(text) > limits.text_bytes:
        raise NotRewritten(f"it is over {limits.text_bytes} bytes")
    try:
        check_depth(text, SQL_LIMITS)
        statements = parse(text)
    except (Unparsable, ValueError) as error:
        raise NotRewritten("it could not be read") from error
    if len(statements) != 1:
        raise NotRewritten(f"the text holds {len(statements)} statements, which act on each other")
    ((kind, node),) = statements[0]["stmt"].items()
    return Statement(text, kind, node, statements[0])


def rewrite(statement: Statement) -> Rewriting:
    """The queries of a write. Raises NotRewritten for what has none."""
    rewriter = _REWRITERS.get(statement.kind)
    if rewriter is None:
        raise NotRewritten("statements of its kind have no query that says what they would do")
    refuse_felt(statement.node)
    return rewriter(words_of(statement.text, statement.raw, SQL_LIMITS.tokens), statement.node)
