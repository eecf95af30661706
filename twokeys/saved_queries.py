"""What auditors ask: the saved queries, for `twokeys audit query --saved` and as named queries in Athena.

All ask the `records` table alone. Reading them: an Edge's chain says what reached it and what it forwarded; the chain
of source ``control-plane`` says who asked, who decided and who read. Where both speak of one request, a query says
whom it believes.
"""

from __future__ import annotations

import difflib
import re
from typing import Final

from twokeys.errors import InvalidInput
from twokeys.saved_query import Parameter, ParameterType, SavedQuery

_SINCE: Final = Parameter(
    "since", "Nothing recorded before this time (UTC).", "2026-11-01", ParameterType.TIME, "now-30d"
)
_UNTIL: Final = Parameter("until", "Only what was recorded before this time (UTC).", "2026-12-01T00:00Z",
                          ParameterType.TIME, "now")  # fmt: skip

# Partitions are days of sealing, and a record is sealed after it is made. The day before allows for clocks.
_DAY: Final = "dt >= substr(CAST(CAST(substr($since, 1, 10) AS date) - INTERVAL '1' DAY AS varchar), 1, 10)"
# A proposal may lie for long before somebody approves it.
_QUARTER: Final = _DAY.replace("'1' DAY", "'92' DAY")
# What became of a forward: its result has its request, or where nobody was asked its sequence.
_FORWARDS: Final = """results AS (
    SELECT source AS result_source, coalesce(request, CAST(forward_seq AS varchar)) AS result_of,
        max_by(outcome, seq) AS next_outcome, max_by(rows, seq) AS next_rows
    FROM records
    WHERE {day} AND {edges} AND type = 'result' AND coalesce(request, CAST(forward_seq AS varchar)) IS NOT NULL
    GROUP BY source, coalesce(request, CAST(forward_seq AS varchar))
),
forwards AS (
    SELECT * FROM records LEFT JOIN results
        ON result_source = source AND result_of = coalesce(request, CAST(seq AS varchar))
    WHERE {day} AND {edges} AND type = 'forward'
),
ends AS (
    SELECT request, max_by(outcome, seq) AS outcome, max(person) AS settled_by
    FROM records
    WHERE {day} AND {control} AND type IN ('spend', 'result', 'settlement') AND request IS NOT NULL
    GROUP BY request
)"""
_ENDED: Final = """coalesce(ends.outcome,
        forwards.next_outcome, 'unknown')"""

_FRAGMENTS: Final = {
    "{forwards}": _FORWARDS,
    "{ended}": _ENDED,
    "{window}": "{day} AND time >= $since AND time < $until",
    "{day}": _DAY,
    "{quarter}": _QUARTER,
    "{control}": "source = 'control-plane'",
    "{edges}": "source <> 'control-plane'",
}
"""Pieces that several queries have, by the name that stands for each; a piece may hold those below it."""


def _sql(text: str) -> str:
    """The text with its fragments in place; ``{ms:from:to}`` is the time between two, in milliseconds."""
    for name, fragment in _FRAGMENTS.items():
        text = text.replace(name, fragment)
    moment = r"CAST(replace(substr(\%d, 1, 23), 'T', ' ') AS timestamp)"
    text = re.sub(r"\{ms:([^:}]+):([^:}]+)\}", f"date_diff('millisecond', {moment % 1}, {moment % 2})", text)
    return text.strip() + "\n"


ALL: Final = (
    SavedQuery(
        "writes_to",
        "Who wrote to a table, when, who approved it, and how did it end?",
        "One row for each write, DDL or privileged command that an Edge forwarded and that names the object. No "
        "approvers: policy allowed it outright. Outcome is the control plane's last word where it has one.",
        _sql("""
WITH {forwards}
SELECT forwards.time, forwards.target, forwards.database, forwards.caller, forwards.sponsor, forwards.kind,
    forwards.statement, forwards.approvers, {ended} AS outcome, forwards.next_rows AS rows, forwards.request,
    forwards.session, forwards.source, forwards.seq
FROM forwards LEFT JOIN ends ON ends.request = forwards.request
CROSS JOIN UNNEST(forwards.objects) AS touched (object)
WHERE forwards.type = 'forward' AND forwards.time >= $since AND forwards.time < $until
    AND split_part(touched.object, ':', 1) <> 'read'
    AND substr(touched.object, length(split_part(touched.object, ':', 1))
        + length(split_part(touched.object, ':', 2)) + 3) = $object
ORDER BY forwards.time, forwards.source, forwards.seq
"""),
        (Parameter("object", "Its name with the schema.", "public.orders"), _SINCE, _UNTIL),
    ),
    SavedQuery(
        "writes",
        "Which writes ran, who approved each, and how did each end?",
        "Every forwarded command that is no read. `held_seconds` is from the hold to the forward.",
        _sql("""
WITH {forwards},
holds AS (
    SELECT request, min(time) AS held_at FROM records
    WHERE {day} AND {edges} AND type = 'hold' GROUP BY request
)
SELECT forwards.time, forwards.target, forwards.caller, forwards.sponsor, forwards.effect, forwards.statement,
    forwards.approvers, forwards.policies, {ended} AS outcome, ends.settled_by, forwards.next_rows AS rows,
    {ms:holds.held_at:forwards.time} / 1e3 AS held_seconds,
    forwards.request, forwards.session
FROM forwards LEFT JOIN ends ON ends.request = forwards.request LEFT JOIN holds ON holds.request = forwards.request
WHERE forwards.type = 'forward' AND forwards.effect <> 'read'
    AND forwards.time >= $since AND forwards.time < $until
ORDER BY forwards.time, forwards.source, forwards.seq
"""),
        (_SINCE, _UNTIL),
    ),
    SavedQuery(
        "writes_without_approval",
        "Which writes did policy let through without anybody's approval, and which policy?",
        "Counted by caller, target and deciding policies. An empty answer means that each write had its approver.",
        _sql("""
SELECT target, caller, sponsor, effect, policies, count(*) AS writes, min(time) AS first_time, max(time) AS last_time
FROM records
WHERE {window} AND {edges} AND type = 'forward' AND effect <> 'read'
    AND (approvers IS NULL OR approvers = ARRAY[])
GROUP BY target, caller, sponsor, effect, policies
ORDER BY writes DESC, target, caller
"""),
        (_SINCE, _UNTIL),
    ),
    SavedQuery(
        "own_votes",
        "Did anybody try to decide about their own request, or one of a machine they answer for?",
        "`refused` is a try that the control plane turned away. `counted` must never appear: an approval by the "
        "requester or the sponsor. Linked accounts are not in the records; `refused` covers them.",
        _sql("""
SELECT time, 'refused' AS vote, person, caller, sponsor, target, statement, reason, request
FROM records
WHERE {window} AND {control} AND type = 'refused' AND outcome = 'excluded'
UNION ALL
SELECT time, 'counted' AS vote, person, caller, sponsor, target, statement, reason, request
FROM records
WHERE {window} AND {control} AND type = 'decision' AND outcome IN ('approved', 'vote')
    AND (person = caller OR person = sponsor)
ORDER BY 1, 9
"""),
        (_SINCE, _UNTIL),
    ),
    SavedQuery(
        "not_run",
        "What was asked for and did not run, by target and caller?",
        "Counts of requests that ended denied, expired, withdrawn or lapsed (the control plane's word before the "
        "Edge's), and of commands that policy denied at once (`refused`).",
        _sql("""
WITH words AS (
    SELECT request, max(target) AS target, max(caller) AS caller, max(time) AS time,
        coalesce(max(CASE WHEN {control} THEN outcome END), max(outcome)) AS outcome
    FROM records
    WHERE {window} AND type IN ('decision', 'end') AND request IS NOT NULL
        AND outcome IN ('denied', 'expired', 'withdrawn', 'lapsed')
    GROUP BY request
    UNION ALL
    SELECT request, target, caller, time, 'refused' AS outcome
    FROM records
    WHERE {window} AND {edges} AND type = 'refused'
)
SELECT target, caller, outcome, count(*) AS commands, min(time) AS first_time, max(time) AS last_time
FROM words
GROUP BY target, caller, outcome
ORDER BY target, commands DESC, caller, outcome
"""),
        (_SINCE, _UNTIL),
    ),
    SavedQuery(
        "in_doubt",
        "Which writes may or may not have happened, and nobody has settled them?",
        "The control plane's last word is `in_doubt`, or still `spending`. Settle each: look in the database by "
        "transaction id, then say what you found.",
        _sql("""
SELECT min(time) AS spent_at, max(time) AS last_time, max_by(outcome, seq) AS state, max(target) AS target,
    max(database) AS database, max(caller) AS caller, max(statement) AS statement, max(xid) AS xid, request
FROM records
WHERE {window} AND {control} AND type IN ('spend', 'result', 'settlement') AND request IS NOT NULL
GROUP BY request
HAVING max_by(outcome, seq) IN ('in_doubt', 'spending')
ORDER BY 1, request
"""),
        (_SINCE, _UNTIL),
    ),
    SavedQuery(
        "policy_changes",
        "Who changed the policy, and who approved each change?",
        "One row for each step: proposed, approved, denied, and the policy of the first start. `proposed_by` is "
        "repeated with the decision, and must be another person; NULL when the proposal is over three months older.",
        _sql("""
WITH proposed AS (
    SELECT split_part(reason, ':', 1) AS proposal, min(person) AS proposed_by
    FROM records
    WHERE {quarter} AND {control} AND type = 'policy' AND outcome = 'proposed'
    GROUP BY split_part(reason, ':', 1)
)
SELECT records.time, records.outcome, proposed.proposed_by, records.person, records.policy_revision,
    records.policies AS touched, records.text_digest, records.reason
FROM records LEFT JOIN proposed ON proposed.proposal = split_part(records.reason, ':', 1)
WHERE {window} AND {control}
    AND (records.type = 'policy' OR (records.type = 'bootstrap' AND records.outcome = 'policy'))
ORDER BY records.time, records.seq
"""),
        (_SINCE, _UNTIL),
    ),
    SavedQuery(
        "people_changes",
        "Who registered people, machines and Edges, or minted credentials?",
        "Each change of who may ask, who answers for whom, and which Edges there are.",
        _sql("""
SELECT time, type, outcome, person AS changed_by, caller AS subject, caller_kind, sponsor, target, objects AS edits,
    reason
FROM records
WHERE {window} AND {control} AND (type IN ('people', 'credential', 'enrolment')
    OR (type = 'bootstrap' AND outcome <> 'policy'))
ORDER BY time, seq
"""),
        (_SINCE, _UNTIL),
    ),
    SavedQuery(
        "breaks",
        "Is anything missing in a chain?",
        "Numbers that do not follow each other, and the gaps that an Edge itself reported after a crash. Empty is "
        "good. The proof is `twokeys audit verify`; this is the quick look.",
        _sql("""
WITH numbered AS (
    SELECT source, seq, time, lag(seq) OVER (PARTITION BY source ORDER BY seq) AS previous
    FROM records
    WHERE {day}
)
SELECT source, previous AS after_seq, seq AS next_seq, time,
    CASE WHEN seq = previous THEN 'a record is there twice' ELSE 'records are missing' END AS what
FROM numbered
WHERE seq <> previous + 1
UNION ALL
SELECT source, seq, seq, time, reason
FROM records
WHERE {day} AND type = 'gap'
ORDER BY 1, 2
"""),
        (_SINCE,),
    ),
    SavedQuery(
        "bodies_read",
        "Who was shown exact texts and values, and of whose session?",
        "Reviewers read what they decide about (with a request); auditors read sessions (without).",
        _sql("""
WITH sessions AS (
    SELECT session, max(caller) AS caller, max(target) AS target
    FROM records
    WHERE {day} AND {edges} AND session IS NOT NULL
    GROUP BY session
)
SELECT records.time, records.person, CASE WHEN records.request IS NULL THEN 'session' ELSE 'request' END AS what,
    coalesce(records.caller, sessions.caller) AS caller, coalesce(records.target, sessions.target) AS target,
    records.request, records.session, records.reason
FROM records LEFT JOIN sessions ON sessions.session = records.session
WHERE {window} AND {control} AND records.type = 'body_read'
ORDER BY records.time, records.seq
"""),
        (_SINCE, _UNTIL),
    ),
    SavedQuery(
        "erased",
        "Whose exact texts and values can't be read any more, and who made it so?",
        "Sessions whose key was erased. Their records still verify; what they hold of bodies is unreadable for good.",
        _sql("""
WITH sessions AS (
    SELECT session, max(caller) AS caller, max(target) AS target
    FROM records
    WHERE {day} AND {edges} AND session IS NOT NULL
    GROUP BY session
)
SELECT records.time, records.person AS erased_by, records.session, sessions.caller, sessions.target, records.reason
FROM records LEFT JOIN sessions ON sessions.session = records.session
WHERE {window} AND {control} AND records.type = 'key_erased'
ORDER BY records.time, records.seq
"""),
        (_SINCE, _UNTIL),
    ),
    SavedQuery(
        "busiest_callers",
        "Which callers do the most, and how much of it had to be held?",
        "By the Edges' own records; the hundred busiest.",
        _sql("""
SELECT caller, max(caller_kind) AS caller_kind, max(sponsor) AS sponsor, count(DISTINCT session) AS sessions,
    count_if(type = 'command' OR (type = 'forward' AND effect = 'read')) AS reads,
    count_if(type = 'forward' AND effect <> 'read') AS writes, count_if(type = 'hold') AS held,
    count_if(type = 'refused') AS refused, min(time) AS first_time, max(time) AS last_time
FROM records
WHERE {window} AND {edges} AND caller IS NOT NULL
GROUP BY caller
ORDER BY count(*) DESC, caller
LIMIT 100
"""),
        (_SINCE, _UNTIL),
    ),
    SavedQuery(
        "quick_approvals",
        "Who approves faster than anybody can read?",
        "Approvals within so many seconds of the request, or of the person's first look at it; `first_look_seconds` "
        "is NULL when they never were shown the whole text.",
        _sql("""
WITH opened AS (
    SELECT request, min(time) AS opened_at FROM records
    WHERE {day} AND {control} AND type = 'open' GROUP BY request
),
looked AS (
    SELECT request, person, min(time) AS looked_at FROM records
    WHERE {day} AND {control} AND type = 'body_read' AND request IS NOT NULL GROUP BY request, person
),
timed AS (
    SELECT records.time, records.person, records.caller, records.target, records.statement, records.reason,
        records.request,
        {ms:opened.opened_at:records.time} / 1e3 AS open_seconds,
        {ms:looked.looked_at:records.time} / 1e3 AS first_look_seconds
    FROM records
    JOIN opened ON opened.request = records.request
    LEFT JOIN looked ON looked.request = records.request AND looked.person = records.person
    WHERE {window} AND {control} AND records.type = 'decision' AND records.outcome IN ('approved', 'vote')
        AND records.person IS NOT NULL
)
SELECT * FROM timed
WHERE open_seconds < CAST($seconds AS bigint) OR first_look_seconds IS NULL
    OR first_look_seconds < CAST($seconds AS bigint)
ORDER BY time, request
"""),
        (Parameter("seconds", "Faster than this is told.", "10", ParameterType.INTEGER, "10"), _SINCE, _UNTIL),
    ),
    SavedQuery(
        "sessions_of",
        "When was a caller connected, from where, and what did it do there?",
        "One row for each session; replay one with `twokeys audit show SESSION`. No end: it is open, or its Edge died.",
        _sql("""
SELECT session, max(target) AS target, max(database) AS database, max(client) AS client, max(sponsor) AS sponsor,
    min(time) AS first_time, max(CASE WHEN type = 'session_end' THEN time END) AS ended_at,
    max(CASE WHEN type = 'session_start' THEN reason END) AS peer,
    count_if(type = 'command' OR type = 'forward') AS forwarded, count_if(type = 'forward' AND effect <> 'read')
    AS writes, count_if(type = 'hold') AS held, count_if(type = 'refused') AS refused,
    max(CASE WHEN type = 'session_end' THEN reason END) AS end_reason
FROM records
WHERE {window} AND {edges} AND caller = $caller AND session IS NOT NULL
GROUP BY session
ORDER BY min(time), session
"""),
        (Parameter("caller", "Whose.", "agent-7"), _SINCE, _UNTIL),
    ),
    SavedQuery(
        "silent_edges",
        "Which Edges have recorded nothing for some time?",
        "Every Edge with a record since the day asked for, whose last one is older. An Edge that nobody uses is "
        "silent too: the alarm on missed calls tells them apart.",
        _sql("""
WITH heard AS (
    SELECT source, max(time) AS last_time, max(seq) AS last_seq, max(target) AS target
    FROM records
    WHERE {window} AND {edges}
    GROUP BY source
),
timed AS (
    SELECT source, target, last_time, last_seq, {ms:last_time:$until} / 3.6e6 AS silent_hours
    FROM heard
)
SELECT * FROM timed WHERE silent_hours >= CAST($hours AS bigint)
ORDER BY last_time, source
"""),
        (Parameter("hours", "Silent for at least so long.", "24", ParameterType.INTEGER, "24"), _SINCE, _UNTIL),
    ),
    SavedQuery(
        "alarms",
        "What went wrong: alarms, failed sign-ins, refused calls, notices that reached nobody?",
        "Refused calls are recorded at a limited rate; the reason then counts those left out.",
        _sql("""
SELECT time, source, type, outcome, target, caller, person, request, reason
FROM records
WHERE {window} AND (type IN ('alarm', 'sign_in_failed', 'notice_failed') OR (type = 'refused' AND {control}))
ORDER BY time, source, seq
"""),
        (_SINCE, _UNTIL),
    ),
    SavedQuery(
        "masked_reads",
        "Who read what with classified data in it, and which classes were masked for them?",
        "Counted by caller and statement. A class is named where the statement could show it, or where values are "
        "searched for it. Who may see a class in the clear has no mask, and is not in this answer.",
        _sql("""
SELECT records.target, records.caller, records.sponsor, masks.data_class, records.statement, count(*) AS times,
    min(records.time) AS first_time, max(records.time) AS last_time
FROM records CROSS JOIN UNNEST(records.masked) AS masks (data_class)
WHERE {window} AND {edges} AND records.type IN ('command', 'forward')
GROUP BY records.target, records.caller, records.sponsor, masks.data_class, records.statement
ORDER BY times DESC, records.target, records.caller, masks.data_class, records.statement
"""),
        (_SINCE, _UNTIL),
    ),
    SavedQuery(
        "one_request",
        "What happened to one request, step by step, on both sides?",
        "Both chains in order of time. Each source's own order is certain; between sources clocks decide.",
        _sql("""
SELECT time, source, seq, type, outcome, person, approvers, caller, sponsor, target, statement, rows, xid, sqlstate,
    reason, command_digest
FROM records
WHERE {day} AND request = $request
ORDER BY time, source, seq
"""),
        (Parameter("request", "Its id.", "req_4f2k"), _SINCE),
    ),
)
"""Every saved query, in the order in which they are listed."""


def find(name: str) -> SavedQuery:
    """A saved query by name.

    Raises:
        InvalidInput: when there is none.
    """
    names = [query.name for query in ALL]
    if name not in names:
        near = difflib.get_close_matches(name, names, n=2, cutoff=0.5)
        raise InvalidInput(
            f"There is no saved query {name[:100]!r}.",
            not_done="Nothing was run.",
            advice=(f"Did you mean {' or '.join(near)}? " if near else "") + "`twokeys audit saved` lists them.",
            code="unknown_query",
        )
    return ALL[names.index(name)]
