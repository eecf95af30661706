"""Which guard stands against which classes of attack, and the tests that fail when it is taken away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

NET, CORE = "tests/edge_agent/net/", "tests/edge_agent/protocols/postgres/"
CLASSIFY = "tests/edge_agent/classify/"


@dataclass(frozen=True, slots=True)
class Proof:
    """Tests that stand on one guard.

    Args:
        classes: The classes of attack that the guard stands against.
        files: Where the tests are, parted by spaces.
        which: Which of them, as pytest's -k has it. All of them must fail without the guard, but for those of several
            variants, of which one must.
    """

    classes: str
    files: str
    which: str


PROOFS: Final = {
    "the classifier": Proof(
        "P1 P2 P3 P4 P5 P6 P7 P8 P9",
        f"{CLASSIFY}test_attacks.py",
        "(p1 or p2 or p3 or p4 or p5 or p6 or p7 or p8_tricks or p8_the_end or p9) and not control",
    ),
    "the savepoint round what is not approved": Proof(
        "G1 G7", f"{CORE}test_session_live_guard.py {CORE}test_session_extended.py", "(g1 and wheel) or g7"
    ),
    "read-only again before a commit without writes": Proof(
        "G2 G3", f"{NET}test_fooled_live.py", "wheel and (g2 or g3)"
    ),
    "savepoints are left before that": Proof("G2 G3", f"{NET}test_fooled_live.py", "wheel and g2 and savepoints"),
    "read-only before a commit with a cursor WITH HOLD": Proof(
        "G2", f"{CORE}test_session_live_guard.py", "wheel and test_g2_a_holding_cursor_cannot_write"
    ),
    "no cursor WITH HOLD after a write in a pipeline": Proof(
        "G2", f"{CORE}test_session_live_guard.py", "wheel and test_g2_a_holding_cursor_cannot_follow"
    ),
    "read-only from the start of the session": Proof(
        "P2 P3 P7", f"{NET}test_fooled_live.py", "wheel and test_p2_p3_p7 and simple and itself and (view or insert)"
    ),
    "the alarm on a default that was undone": Proof(
        "P7 G6",
        f"{CORE}test_session_live_guard.py {NET}test_fooled_live.py",
        "wheel and (test_p7_a_session_whose or test_g6)",
    ),
    "names that clients may not use": Proof("G4", f"{CORE}test_session_extended.py", "test_g4"),
    "savepoints of the Edge's own": Proof("G4", f"{CLASSIFY}test_sql.py", "test_g4"),
    "transaction control comes with reads alone": Proof(
        "P1 G4", f"{CORE}test_session_live_guard.py", "wheel and test_p1_g4 and (DELETE or UPDATE)"
    ),
    "the refusal of FunctionCall": Proof("W2 G4", f"{NET}test_attacks_live.py", "wheel and test_g4"),
    "portals end with their statement": Proof(
        "W3", f"{NET}test_red_team.py", "wheel and test_w3_a_statement_parsed_anew"
    ),
    "the guard before reads of the lane": Proof("P3", f"{CORE}test_lane.py", "test_p3"),
    "allowed writes are parsed anew by the lane": Proof("W3", f"{CORE}test_lane.py", "test_w3_an_allowed_write"),
    "statements are parsed anew after code of users": Proof(
        "W3", f"{NET}test_names_live.py", "wheel and test_w3_code_of_users"
    ),
    "names that SQL moves are forgotten": Proof(
        "W3 G5", f"{NET}test_names_live.py", "wheel and test_w3_names_are_forgotten"
    ),
    "portals of the protocol are closed to SQL": Proof("W3", f"{NET}test_names_live.py", "test_w3_sql_cannot_fetch"),
    "a portal that wrote in part is closed": Proof("W4", f"{NET}test_attacks_live.py", "wheel and test_w4_the_rest"),
    "a search path that moved": Proof("W6", f"{NET}test_session_moves_live.py", "wheel and test_w6_a_path_moved"),
    "a search path is narrowed alone": Proof(
        "W6",
        f"{CLASSIFY}test_settings.py tests/edge_agent/test_door.py",
        "test_w6_any_other_path or test_w6_set_config_of or test_w6_names_prove_nothing or test_w6_no_path",
    ),
    "the server itself answers": Proof("W6", f"{CORE}test_direct.py", "test_w6"),
    "a Pass is spent once": Proof("W3", f"{CORE}test_session_simple.py", "test_w3_a_pass"),
    "a portal that ran is not run again": Proof("W3", f"{NET}test_attacks_live.py", "wheel and test_w3_executing"),
    "settings of a start-up are listed": Proof("P7", f"{CORE}test_parameters.py", "test_p7"),
    "the session's meaning is compared again": Proof("W6 G6", "tests/edge_agent/test_hold.py", "test_w6_a_session"),
    "built-in names are not hidden": Proof(
        "P3 W6", f"{NET}test_session_moves_live.py", "wheel and (test_w6_a_path_that_hides or test_w6_a_session_whose)"
    ),
    "policy decides again after approval": Proof("W6", f"{NET}test_relay_live.py", "wheel and test_w6_a_policy"),
    "no more rows than were approved": Proof("W6", f"{NET}test_preview_live.py", "wheel and test_w6_a_write"),
    "lengths are refused at the header": Proof("W1 W2", f"{CORE}test_framing.py", "test_w1_a_false_length or test_w2"),
    "bodies are read to their last byte": Proof(
        "W1 P8", f"{CORE}test_messages.py", "test_w1_nothing_may or test_w1_a_bind or test_p8_a_nul"
    ),
    "nothing may come before an answer": Proof("W1", f"{CORE}test_startup.py", "test_w1_bytes_before"),
    "the refusal of replication": Proof(
        "W2", f"{CORE}test_parameters.py {CORE}test_startup.py", "test_w2_replication or test_w2_p7"
    ),
    "the key of a cancel": Proof("W2", f"{NET}test_attacks_live.py", "wheel and test_w2_a_stranger"),
    "data are taken before people are asked": Proof("W5", f"{NET}test_copy_live.py", "wheel and test_w5_people_see"),
    "staged data are digested again": Proof("W5", f"{NET}test_postgres_copy.py", "test_w5_other_data"),
    "a Command's digest covers its data": Proof("W5", "tests/twokeys/test_copy_data.py", "test_w5"),
    "a hold in a transaction is shorter": Proof("W7", f"{NET}test_locks_live.py", "wheel and test_w7_policy"),
    "people are told of locks": Proof("W7", f"{NET}test_locks_live.py", "wheel and test_w7_people"),
    "a text is UTF-8 without NUL": Proof("P8", f"{CLASSIFY}test_attacks.py", "test_p8_a_nul or test_p8_other"),
    "a text is judged to its end": Proof("P1 P8", f"{CLASSIFY}test_attacks.py", "test_p8_the_end"),
    "what is invisible is spelled out": Proof("P8", f"{CLASSIFY}test_attacks.py", "test_p8_invisible"),
    "depth is checked before parsing": Proof("P8", f"{CLASSIFY}test_depth.py", "test_p8_a_deep"),
}
"""By the guard's name in `unguard`."""


def guards_of(attack: str) -> list[str]:
    """The guards whose proof stands against a class."""
    return [guard for guard, proof in PROOFS.items() if attack in proof.classes.split()]
