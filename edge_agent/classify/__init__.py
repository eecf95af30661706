"""What a Command does, proven from the protocol's own grammar.

    text ─▶ parser (libpg_query, JSON) ─▶ statements ─▶ walk ─▶ Findings ─▶ SqlVerdict
      └──▶ normalise (scanner)                                     ▲
                              builtins, settings: lists that were reviewed

`sql.classify_sql` is pure; `cache.SqlClassifier` remembers its verdicts by exact bytes. Nothing here proves that a
statement is harmless when user code hides in a view, an operator, a cast or a trigger: the server's read-only mode is
the second witness. What is not listed is unknown, and unknown asks as privileged.
"""
