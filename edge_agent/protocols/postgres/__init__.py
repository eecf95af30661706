"""PostgreSQL's frontend/backend protocol 3, without I/O.

    client bytes ─▶ startup.py (TLS? who? SCRAM or a token) ─▶ session.py ─▶ server bytes
                                                                   ▲
    server bytes ─▶ upstream_auth.py (options, SCRAM, checks) ─────┘

`framing` finds messages in a stream, `messages` reads them, `encode` writes them, `limits` names every size that a
peer controls. https://www.postgresql.org/docs/current/protocol.html
"""
