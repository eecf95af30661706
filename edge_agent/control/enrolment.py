"""Enrolment: once per Edge, with a one-time token. From the answer come the Edge's id and the keys it pins."""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives import serialization

from edge_agent.control.exchange import MAX_ANSWER_BYTES, HttpCall, Transport, raise_for
from edge_agent.control.identity import EdgeState, StateFolder, pinned
from edge_agent.secret import Secret
from twokeys.digest import sha256, to_base64
from twokeys.errors import Refused
from twokeys.messages import EnrolReply, EnrolRequest, decode, encode
from twokeys.signature import sign

TYPE: Final = "edge-enrol"
"""Name of the signed type of the proof that we hold the key."""


async def enrol(
    folder: StateFolder, transport: Transport, token: Secret, *, expected_id: str = "", seconds: float = 15.0
) -> str:
    """Enrol this state folder; a lost answer can be asked for again with the same token.

    Args:
        folder: Where the key is made and kept.
        transport: To the control plane; its TLS is what makes the first pins trustworthy.
        token: The one-time token.
        expected_id: The id in the configuration, if it has one.
        seconds: Deadline of the call.

    Returns:
        The Edge's id.

    Raises:
        Refused: when the folder is enrolled already, the token is not taken, or the id is another one.
        InvalidInput: when the answer can't be used.
        Unavailable: when the control plane can't be reached, or the folder can't be written.
    """
    folder.prepare()
    if folder.state() is not None:
        raise Refused(
            "This state folder is enrolled already.",
            not_done="The token was not used.",
            advice="Use an empty folder for a new edge.",
            code="already_enrolled",
        )
    key = folder.new_key()
    der = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    proof = sign(TYPE, {"token_sha256": sha256(token.reveal().encode())}, key)
    request = EnrolRequest(token=token.reveal(), public_key=to_base64(der), proof=to_base64(proof.value))
    answer = await transport.exchange(
        HttpCall("POST", "/v1/edges/enrol", {"Content-Type": "application/json"}, encode(request), seconds)
    )
    raise_for(answer)
    reply = decode(EnrolReply, answer.body, MAX_ANSWER_BYTES)
    if expected_id and reply.edge_id != expected_id:
        raise Refused(
            f"The token enrols {reply.edge_id}, and the configuration says {expected_id}.",
            not_done="Nothing was kept.",
            advice="Ask for a token of the right edge.",
            code="wrong_edge",
        )
    pinned(reply.keys)
    folder.keep_new_key(EdgeState(reply.edge_id, reply.keys))
    return reply.edge_id
