"""The language both halves of Twokeys speak. Pure: no socket, file, clock, randomness or environment.

    Command ──classify──▶ Effect ──policy──▶ Decision: Allow | Hold | Deny
                                                        │
                                     Request (states) ◀─┘ ──votes──▶ Approval (signed, single use)
                                                        │
                    every step ──▶ Record ──chain──▶ Segment ──▶ Seal (signed head)

One noun, one file. `messages` holds what crosses the wire, `tables` what auditors query.
"""
