"""The Preview: what a held Command would do, before anybody decides about it.

    parse tree + exact text ─▶ rewrite ─▶ Question ─▶ asked in the caller's own session, read-only ─▶ Preview
                               locks, body                     (`protocols.postgres.preview_step`)

Nouns: a *Clause* is a stretch of the exact text between two tokens. A *Rewriting* is a query made of clauses, taken
only when the grammar reads the same nodes in it as in the statement. A *Question* is what the session is asked.
Nothing here is sent anywhere, and nothing here permits anything: what is made of a caller's words must be a proven
read, as any read of the caller's must, and runs where the server itself refuses to write.
"""
