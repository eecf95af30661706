"""The Edge's side of the control plane. The socket is in `edge_agent.net.http`; here is what is said over it.

identity   the Edge's key and what it pinned at enrolment          clock    the control plane's time, estimated
client     signed calls, one method per row of `twokeys.messages`  bundle   pull, verify, keep, grow stale
waker      one long poll while anything is held                    liaison  the `Control` that a hold asks
"""
