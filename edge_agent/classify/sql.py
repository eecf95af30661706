"""Judge a SQL text: what it does to which objects, and what the session core must know before it is forwarded."""

from __future__ import annotations

from dataclasses import dataclass

from edge_agent.classify.depth import check_depth
from edge_agent.classify.findings import Findings, TooMuch
from edge_agent.classify.known import Known
from edge_agent.classify.limits import DEFAULT_LIMITS, SqlLimits
from edge_agent.classify.normalise import normalise
from edge_agent.classify.parser import GRAMMAR_MAJOR, Tree, Unparsable, parse
from edge_agent.classify.pinned import HARMLESS_CALLS, WITHOUT_SECRETS
from edge_agent.classify.statements import Statement, judge
from edge_agent.classify.transaction import LEADING, TxnAction
from twokeys.effect import DATABASE, Access, Classification, Effect, ObjectRef

UNKNOWN_KIND = "UNKNOWN"
"""The kind of a text that could not be read."""


@dataclass(frozen=True, slots=True)
class SqlVerdict:
    """What a SQL text is.

    Args:
        classification: Its effect on each object.
        actions: Its transaction control, in the order of its statements; empty when it has none.
        refusal: Why the text must be refused, with advice, whatever policies say; empty when it need not. Holds no
            literal of the text.
        sqlstate: The error code to refuse with; empty without a refusal.
        can_run_in_transaction: False when a statement can't run in a transaction block, or may commit by itself.
        is_copy_in: A statement waits for CopyData from the client.
        is_copy_out: A statement answers with CopyData.
        resets_session: It drops every prepared statement of the session, hidden ones too.
        prepared: Names of the prepared statements that it makes or drops, as the server cuts them.
        cursors: Names of the cursors that it makes, fetches from or drops.
        closes_cursors: It drops every cursor, portals of the protocol too.
        empty: It has no statement.
        starts: Where in the text each of several statements begins, in bytes; for people.
        executes: Name of the prepared statement that it runs, should it be one EXECUTE with plain constants.
        holds: It declares a cursor WITH HOLD: its query runs at COMMIT, which must not write then (attack G2).
        code_reads: What code of users reads that it calls, by whatever name: a function, an operator, a cast.
    """

    classification: Classification
    actions: tuple[TxnAction, ...] = ()
    refusal: str = ""
    sqlstate: str = ""
    can_run_in_transaction: bool = True
    is_copy_in: bool = False
    is_copy_out: bool = False
    resets_session: bool = False
    prepared: tuple[str, ...] = ()
    cursors: tuple[str, ...] = ()
    closes_cursors: bool = False
    empty: bool = False
    starts: tuple[int, ...] = ()
    executes: str = ""
    holds: bool = False
    code_reads: frozenset[ObjectRef] = frozenset()

    @property
    def is_read(self) -> bool:
        """Whether it is a proven read that need not be refused."""
        return not self.refusal and self.classification.effect is Effect.READ


def classify_sql(
    text: bytes, search_path: tuple[str, ...], limits: SqlLimits = DEFAULT_LIMITS, known: Known | None = None
) -> SqlVerdict:
    """Judge `text` as PostgreSQL would read it with standard_conforming_strings on and client_encoding UTF8.

    Args:
        text: As the protocol delivered it, without the terminating NUL.
        search_path: Schemas where an unqualified name may be found; each counts, the worst wins.
        limits: The named limits.
        known: The database's catalogue; without one nothing of users' is known, but views pass as tables do.

    Returns:
        A verdict for any bytes whatever: what can't be judged is refused.
    """
    if len(text) > limits.text_bytes:
        return _refused(f"The text has more than {limits.text_bytes} bytes. Send it in parts.", "54000")
    if b"\0" in text:
        return _refused("The text has a NUL byte. Leave it out.", "22021")
    try:
        text.decode("utf-8")
    except UnicodeDecodeError:
        return _refused("The text isn't valid UTF-8. Set the client's encoding to UTF8.", "22021")
    try:
        check_depth(text, limits)
        trees = parse(text)
        if len(trees) > limits.statements:
            return _refused(f"The text has more than {limits.statements} statements. Send fewer at once.", "54000")
        return _judge_all(text, trees, Findings(search_path, limits, known=known))
    except Unparsable as error:
        return _unparsable(text, error, limits)
    except TooMuch as error:
        return _refused(f"The text has more than {error.limit} {error.what}. Send fewer at once.", "54001")


def _unparsable(text: bytes, error: Unparsable, limits: SqlLimits) -> SqlVerdict:
    if error.too_complex:
        return _refused("The text is nested too deeply to be judged. Split it.", "54001")
    if error.position == 0:
        return _refused("Syntax error (PostgreSQL's scanner).", "42601")
    where = len(text[: max(0, error.position - 1)].decode("utf-8", "replace")) + 1
    said = f"Syntax error at character {where} (PostgreSQL {GRAMMAR_MAJOR}'s grammar)."
    return _refused(said, "42601", normalise(text, UNKNOWN_KIND, limits))


def _refused(refusal: str, sqlstate: str, normalised: str = UNKNOWN_KIND) -> SqlVerdict:
    accesses = (Access(DATABASE, Effect.PRIVILEGED),)
    unknown = Classification(UNKNOWN_KIND, accesses, normalised, certain=False, reasons=("could not be read",))
    return SqlVerdict(unknown, refusal=refusal, sqlstate=sqlstate, can_run_in_transaction=False)


def _judge_all(text: bytes, trees: list[Tree], empty: Findings) -> SqlVerdict:
    judged: list[tuple[Findings, Statement]] = []
    nodes, limits = 0, empty.limits
    for at, tree in enumerate(trees):
        findings = Findings(empty.search_path, limits, nodes, empty.known)
        findings.shown_without_secrets = WITHOUT_SECRETS.get(text, findings.shown_without_secrets)
        findings.harmless_calls = text in HARMLESS_CALLS
        ((kind, node),) = tree["stmt"].items()
        judged.append((findings, judge(findings, kind, node, at)))
        nodes = findings.nodes
    statements = [statement for _, statement in judged]
    classification = _classification(text, judged, limits)
    actions = tuple(statement.action for statement in statements if statement.action is not None)
    refusal = next((statement.refusal for statement in statements if statement.refusal), "")
    if actions and len(statements) > 1 and classification.effect is not Effect.READ and not _leads_to_one(judged):
        refusal = refusal or (
            "The text mixes transaction control with a statement that is no proven read. "
            "Send BEGIN, COMMIT and the like by themselves."
        )
    return SqlVerdict(
        classification,
        actions,
        refusal,
        "0A000" if refusal else "",
        all(statement.in_transaction for statement in statements),
        any(statement.is_copy_in for statement in statements),
        any(statement.is_copy_out for statement in statements),
        any(statement.resets_session for statement in statements),
        tuple(statement.prepared for statement in statements if statement.prepared),
        tuple(statement.cursor for statement in statements if statement.cursor),
        any(statement.closes_cursors for statement in statements),
        not statements,
        tuple(tree.get("stmt_location", 0) for tree in trees) if len(trees) > 1 else (),
        statements[0].executes if len(statements) == 1 and statements[0].kind == "EXECUTE" else "",
        any(statement.holds for statement in statements),
        frozenset[ObjectRef]().union(*(findings.code_reads for findings, _ in judged)),
    )


def _leads_to_one(judged: list[tuple[Findings, Statement]]) -> bool:
    """Whether only the last statement is no proven read, after control that begins something: as ODBC drivers send."""
    *before, (_, last) = judged
    if last.action is not None or last.is_copy_in:
        return False
    return all(
        findings.effect is Effect.READ and (statement.action is None or statement.action.kind in LEADING)
        for findings, statement in before
    )


def _classification(text: bytes, judged: list[tuple[Findings, Statement]], limits: SqlLimits) -> Classification:
    """One Classification of all statements; the first of the worst gives its kind."""
    if not judged:
        return Classification("EMPTY", (Access(DATABASE, Effect.READ),), "", statements=0)
    kind = max(judged, key=lambda pair: (pair[0].effect, not pair[0].certain))[1].kind
    normalised = normalise(text, kind, limits)
    if len(judged) == 1:
        findings = judged[0][0]
        return Classification(kind, findings.result(), normalised, findings.certain, 1, tuple(findings.reasons))
    worst: dict[ObjectRef, Effect] = {}
    reasons: dict[str, None] = {}
    for findings, _ in judged:
        for access in findings.result():
            worst[access.object] = max(access.effect, worst.get(access.object, Effect.READ))
        if len(worst) > limits.objects:
            raise TooMuch("objects", limits.objects)
        reasons.update(findings.reasons)
    certain = all(findings.certain for findings, _ in judged)
    if not certain:
        worst = dict.fromkeys(worst, Effect.PRIVILEGED)
    accesses = tuple(sorted(Access(ref, effect) for ref, effect in worst.items()))
    return Classification(kind, accesses, normalised, certain, len(judged), tuple(reasons)[: limits.reasons])
