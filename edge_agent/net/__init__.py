"""The only sockets of the Edge. Thin shells: bytes in, bytes out, deadlines; decisions are made elsewhere.

`wire` is one connection, `postgres_listener` accepts callers and brings both sides to a session, `postgres_relay`
runs the session core between them, `http` speaks to the control plane.
"""
