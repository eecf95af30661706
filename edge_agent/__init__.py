"""The Edge: the data path beside a resource.

    client ⇄ net/ ⇄ protocols/postgres (sans-I/O session core) ⇄ net/ ⇄ server
                         │ judge(command)         ▲ Pass
                         ▼                        │
                     gate.py ── Hold ──▶ hold.py ─┘      recorder/: nothing is forwarded that is not on record
                                           │
                                           ▼
                                      control/ ⇄ control plane

`net/` holds the only sockets, `gate.py` is the one door, `runtime.py` only wires.
"""
