"""What a database's catalogue says of users' own code, so that a call may be known to read before it runs.

    stamp (asked at connect) ── moved? ──▶ question ─▶ rows ─▶ Snapshot ─▶ Catalogue ─▶ classify (as `Known`)

Pure: `net/postgres_catalogue` asks. Nothing here weakens the second witness: what is known to read still runs in the
server's read-only mode, and a Snapshot is as old as its last look.
"""
