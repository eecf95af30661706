"""Masking: what of a result a caller may see. Pure: no I/O, no clock.

    owed classes ─▶ columns (asked of the server) ─▶ taint: does this text touch any?   no ─▶ nothing more is done
    RowDescription ─▶ plan: one Way per result column ─▶ rows: each DataRow rewritten
    ErrorResponse, NoticeResponse ─▶ spoken: words that may hold values are taken out

Rules:
  1. Only what is known to be no classified value is shown. A result column shows the column that the server says it
     comes from, as that is masked; one that comes from no column (an expression, a whole row, a function's result) is
     redacted in a text that touches a classified table, unless lineage proves it free: derive reads the parse tree,
     sources say what its names stand for.
  2. What can't be masked in its format is NULL; what can't be masked at all is refused before it is sent.
  3. What a caller may learn by asking (WHERE, counts, row estimates, timing) is no matter of masks: who must not
     learn that may not read the table.
"""
