"""PostgreSQL's frontend/backend protocol 3, without I/O.

    client bytes ─▶ startup.py (TLS? who? SCRAM or a token) ─▶ session.py ─▶ server bytes
                                                                   ▲
    server bytes ─▶ upstream_auth.py (options, SCRAM, checks) ─────┘

Bytes: `framing` finds messages in a stream, `messages` and `server_messages` read them, `encode` writes them, `limits`
names every size that a peer controls.

A session, from the front:

    lane          a plain read, plain control or an allowed write, alone on the wire: as it came; `front` is what of
                  ours goes before it, `allowed_flight` the write
    session       the machine: what is read when, which step is under way
    client        each message of the client's: forwarded at once, or the beginning of a step
    link, expect  the server's side: what was sent, and what it must answer
    core          the state that all of them share; `door` asks the gate

    steps         transaction control (`control` where it is plain), `mixed_step` where reads stand beside it
    write_step    a write, from its hold to its outcome; `allowed_step` where policy lets it pass in the caller's own
                  transaction, `alone_step` by itself; `places` says where it runs, `bounded` and `probation` how much
                  it may change
    rewind        a read that the server called a write
    copy_*        COPY in both directions; `masking` rewrites results

https://www.postgresql.org/docs/current/protocol.html
"""
