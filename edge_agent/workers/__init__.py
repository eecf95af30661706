"""Several processes behind one port: the supervisor accepts and counts, workers have the sessions.

    caller ─▶ supervisor's port ─▶ the worker with the fewest connections: sign-in, session, journal, own calls
                    │  ▲
                    │  └── asks before people are: is there room for one more hold, how many rows are left
                    └───── tells: what moved at the control plane, a cancel, that tables moved, stop

One Edge towards the control plane: one id and key, one long poll, one count of what callers may cost. A worker writes
a chain of its own, ``<edge id>.w<number>``, so that no read waits for another process. The nouns:

    Supervisor   the process that was started: `supervisor`
    Worker       a process with sessions: `member` is its side of what the Edge counts
    Desk         what the Edge counts, and whom it belongs to, should a worker die: `desk`
    Link         the pair of sockets between the two: `edge_agent.net.local_link`, with the messages of `messages`
"""
