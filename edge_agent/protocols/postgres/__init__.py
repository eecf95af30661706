"""PostgreSQL's frontend/backend protocol 3, without I/O.

    client bytes ─▶ startup.py (TLS? who? SCRAM or a token) ─▶ session.py ─▶ server bytes
                                                                   ▲
    server bytes ─▶ upstream_auth.py (options, SCRAM, checks) ─────┘

Bytes: `framing` finds messages in a stream, `messages` and `server_messages` read them, `encode` writes them, `limits`
names every size that a peer controls, `sqlstate` the errors of ours.

Signing in: `startup`, with `startup_rules`, `parameters` (what a client may bring) and `oidc_password`, is the client's
side; `upstream_auth`, with `upstream_rules` and `direct` (no pooler behind), the server's; `scram` and
`channel_binding` serve both, and `greeting` is what a client is told then.

A session, from the front:

    lane          a plain read, plain control or an allowed write, alone on the wire: as it came (`passage`); `plain`
                  reads it, `front` is what of ours goes before it, `allowed_flight` the write
    session       the machine: what is read when, which step is under way; `events` are what it tells its shell
    client        each message of the client's: forwarded at once, or the beginning of a step
    link, expect  the server's side: what was sent, and what it must answer
    core          the state that all of them share: `transaction`, `pipeline` (what is prepared and bound),
                  `sql_prepared` (the same in SQL), `told` (what the client has heard); `door` asks the gate

    steps         transaction control (`control` where it is plain), `mixed_step` where reads stand beside it
    write_step    a write, from its hold to its outcome; `allowed_step` where policy lets it pass in the caller's own
                  transaction, `alone_step` by itself; `places` says where it runs, `bounded` and `probation` how much
                  it may change
    hidden        what of ours is said in between: `fingerprint`, `locks`, `type_names`, `preview_step`, `learn`
    rewind        a read that the server called a write
    copy_in       COPY FROM: `copy_intake` takes the data, `copy_rows` counts them
    masking       results, rewritten on their way; `copy_out` is COPY TO with masks

https://www.postgresql.org/docs/current/protocol.html
"""
