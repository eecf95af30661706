"""Wire bodies between Edge and control plane, version 1: JSON objects, unknown fields refused.

    enrol      POST /v1/edges/enrol                    EnrolRequest      → EnrolReply        one-time token
    bundle     GET  /v1/bundle?have=REVISION           -                 → SignedBundle | 304
    open       POST /v1/requests                       OpenRequest       → RequestStatus     idempotent by id
    poll       POST /v1/poll                           PollRequest       → PollReply         long poll, ≤ 20 s
    queue      POST /v1/wake-access                    -                 → WakeAccess        where to wait instead
    look       GET  /v1/requests/{id}/status           -                 → RequestStatus
    spend      POST /v1/requests/{id}/spend            SpendRequest      → SpendReply        at most once
    withdraw   POST /v1/requests/{id}/withdraw         WithdrawRequest   → RequestStatus     idempotent
    result     POST /v1/requests/{id}/result           ResultReport      → RequestStatus     idempotent
    orphans    GET  /v1/requests/open                  -                 → OpenList          after a restart
    upload     POST /v1/uploads                        UploadRequest     → UploadTicket      create only
    keys       POST /v1/sessions/{id}/key              SessionKey        → {}                idempotent
    seal       POST /v1/segments/{id}/seal             SealRequest       → SealReply         idempotent

All but `enrol` are signed by the Edge (`twokeys.edge_call`). Errors are ErrorBody with a 4xx or 5xx status.
Sizes are limited here, so that both backends refuse the same things.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec

from twokeys.errors import InvalidInput
from twokeys.preview import MAX_PREVIEW_BYTES

MAX_BODY_BYTES = 1024 * 1024
"""Longest request body the control plane reads, uploads aside."""

MAX_INLINE_COMMAND_BYTES = 256 * 1024
"""A longer Command is uploaded as a blob first."""

MAX_EXCERPT_BYTES = 8192
"""Longest excerpt of the exact text kept with a Request."""

MAX_TYPES = 256
"""Most parameters whose types' names travel with a Request; those of later ones are left out."""

MAX_STARTS = 1000
"""Most statements of one text whose places travel with a Request; a text with more is refused at the Edge."""

MAX_LOCKS = 50
"""Most locks of an open transaction that travel with a Request."""

MAX_TYPE_CHARACTERS = 256
"""Longest name of a parameter's type."""

MAX_POLL_SECONDS = 20
"""Longest long poll; API Gateway ends integrations at 29 s."""

# \Z and not $: in Python's `re`, which msgspec uses, $ also matches before a last newline.
Id = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}\Z")]
RequestId = Annotated[str, msgspec.Meta(pattern=r"^req_[a-z2-7]{26}\Z")]
Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
Nonce = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}\Z")]
IdOrEmpty = Annotated[str, msgspec.Meta(pattern=r"^(?:[A-Za-z0-9][A-Za-z0-9._@+-]{0,127})?\Z")]
Sha256OrEmpty = Annotated[str, msgspec.Meta(pattern=r"^(?:[0-9a-f]{64})?\Z")]
NonceOrEmpty = Annotated[str, msgspec.Meta(pattern=r"^(?:[0-9a-f]{32})?\Z")]
Short = Annotated[str, msgspec.Meta(max_length=256)]
Text = Annotated[str, msgspec.Meta(max_length=8192)]
Count = Annotated[int, msgspec.Meta(ge=0, lt=2**53)]
Base64 = Annotated[str, msgspec.Meta(max_length=MAX_INLINE_COMMAND_BYTES * 4 // 3 + 4)]
PreviewBase64 = Annotated[str, msgspec.Meta(max_length=MAX_PREVIEW_BYTES * 4 // 3 + 4)]


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What every wire body is: immutable, strict, defaults left out."""


class ErrorBody(Message, frozen=True, kw_only=True):
    """Any refusal: what happened, what was not done, what to try."""

    code: Short
    happened: Text
    not_done: Text = ""
    advice: Text = ""


class EnrolRequest(Message, frozen=True, kw_only=True):
    """An Edge's first call. `proof` signs ``{token_sha256}`` as type ``edge-enrol`` with the new key."""

    token: Short
    public_key: Base64
    proof: Base64


class EnrolReply(Message, frozen=True, kw_only=True):
    """Who the Edge is now, and the keys it pins from here on (`PublicKey.to_json`)."""

    edge_id: Id
    keys: list[dict[str, str]]


class SignedBundle(Message, frozen=True, kw_only=True):
    """A Bundle (base64 of its exact JSON bytes) and the signature over its `BundleHead`."""

    bundle: str
    key_id: Short
    signature: Base64


class OpenRequest(Message, frozen=True, kw_only=True):
    """A held Command. Sponsor and groups are taken from the registry or a verified claim, never from the client.

    `command` is the canonical JSON of the Command in base64; left out when it was uploaded as blob
    ``command_sha256``. `accesses` are ``effect:kind:name``. `fingerprint` is what the session meant at the hold:
    with it and the Command the `command_digest` is computed again. `types` are the names of the parameters' types as
    the server resolved them, shown beside the values; the digest covers them only as far as Parse gave them. `starts`
    says where in the text each of several statements begins, in bytes, so that people can count them. `retry`
    opens a retry grant (`twokeys.request`): the answer may be about an earlier one of the same Command.
    """

    id: RequestId
    target: Id
    database: Short
    session: Id
    caller: Id
    caller_kind: Short
    sponsor: IdOrEmpty = ""
    groups: list[Short] = []
    client: Short = ""
    command_digest: Sha256
    fingerprint: Sha256
    command_sha256: Sha256
    command_bytes: Count
    command: Base64 | None = None
    types: Annotated[list[Short], msgspec.Meta(max_length=MAX_TYPES)] = []
    preview: PreviewBase64 = ""
    """Canonical JSON of the Preview in base64; empty without one."""
    preview_digest: Sha256OrEmpty = ""
    most_rows: Count | None = None
    """The Preview's exact count of rows, which what runs may not exceed."""
    starts: Annotated[list[Count], msgspec.Meta(max_length=MAX_STARTS)] = []
    excerpt: Annotated[str, msgspec.Meta(max_length=MAX_EXCERPT_BYTES)]
    statement: Text
    kind: Short
    protocol: Short
    certain: bool
    statements: Count
    accesses: Annotated[list[Short], msgspec.Meta(min_length=1, max_length=1000)]
    reasons: Annotated[list[Text], msgspec.Meta(max_length=100)] = []
    policies: Annotated[list[Short], msgspec.Meta(max_length=1000)] = []
    requirement: Sha256
    bundle: Count
    hold_seconds: Annotated[int, msgspec.Meta(ge=1, le=86400)]
    in_transaction: bool = False
    locks: Annotated[list[Short], msgspec.Meta(max_length=MAX_LOCKS)] = []
    """Relations that the open transaction keeps locked meanwhile, each with the lock's mode."""
    retry: bool = False


class RequestStatus(Message, frozen=True, kw_only=True):
    """Where a Request stands, for its Edge. `asked` names the people or groups that were asked.

    `grant_seconds` is for how long an approval can be used; told of retry grants alone.
    """

    id: RequestId
    state: Short
    seconds_left: Count = 0
    asked: list[Short] = []
    reason: Text = ""
    decided_by: list[Short] = []
    grant_seconds: Count = 0


class PollRequest(Message, frozen=True, kw_only=True):
    """Wait for a wake-up. `acknowledge` names wake-ups that were handled and need not come again."""

    wait_seconds: Annotated[int, msgspec.Meta(ge=0, le=MAX_POLL_SECONDS)]
    acknowledge: Annotated[list[RequestId], msgspec.Meta(max_length=10_000)] = []


class PollReply(Message, frozen=True, kw_only=True):
    """Ids of Requests that moved. A wake-up carries no decision: the Edge asks."""

    wake: list[RequestId] = []
    bundle: Count = 0


class WakeAccess(Message, frozen=True, kw_only=True):
    """A queue of the Edge's own to wait at, with credentials for that queue alone; without `queue_url`: poll here.

    Messages in it are `PollReply`. `seconds` is how long the credentials are good for, from now.
    """

    queue_url: Annotated[str, msgspec.Meta(max_length=512)] = ""
    region: Short = ""
    access_key: Short = ""
    secret: Short = ""
    token: Text = ""
    seconds: Count = 0


class SpendRequest(Message, frozen=True, kw_only=True):
    """The Edge is about to forward this Command, and has journalled so.

    `xid` is PostgreSQL's transaction id in which it will run, kept so that a doubt can be settled after a crash.
    """

    nonce: Nonce
    command_digest: Sha256
    xid: Short = ""


class SpendReply(Message, frozen=True, kw_only=True):
    """The signed Approval: `approval` is `Approval.to_json`."""

    approval: dict[str, Any]
    key_id: Short
    signature: Base64


class WithdrawRequest(Message, frozen=True, kw_only=True):
    """The caller hung up or cancelled."""

    reason: Text


class ResultReport(Message, frozen=True, kw_only=True):
    """What became of a spent Request: outcome is done, failed or in_doubt."""

    outcome: Annotated[str, msgspec.Meta(pattern=r"^(done|failed|in_doubt)\Z")]
    rows: Count | None = None
    sqlstate: Short = ""
    reason: Text = ""
    xid: Short = ""
    nonce: Nonce


class OpenItem(Message, frozen=True, kw_only=True):
    """One unfinished Request of this Edge: pending, approved, spending or in_doubt; `retry`: it outlives the Edge.

    `opened_at`: milliseconds since the epoch by the control plane's clock; 0: it did not say.
    """

    id: RequestId
    state: Short
    target: Id
    database: Short
    xid: Short = ""
    nonce: NonceOrEmpty = ""
    retry: bool = False
    opened_at: Count = 0


class OpenList(Message, frozen=True, kw_only=True):
    """What an Edge that starts must withdraw or settle; ask again while `more`."""

    requests: list[OpenItem] = []
    more: bool = False


class UploadRequest(Message, frozen=True, kw_only=True):
    """Ask to store an object, once. `kind` is command, lines or bodies; `name` the blob's hash or the segment id."""

    kind: Annotated[str, msgspec.Meta(pattern=r"^(command|lines|bodies)\Z")]
    name: Id
    sha256: Sha256
    length: Annotated[int, msgspec.Meta(ge=1, le=2**31)]


class UploadTicket(Message, frozen=True, kw_only=True):
    """Where to PUT the bytes and with which headers; `exists` when the very object is there already."""

    url: str = ""
    headers: dict[str, str] = {}
    exists: bool = False


class SessionKey(Message, frozen=True, kw_only=True):
    """A session's data key, wrapped (RSA-OAEP with SHA-256) for the control plane's wrapping key."""

    wrapping_key_id: Short
    wrapped: Base64


class SealRequest(Message, frozen=True, kw_only=True):
    """A closed and uploaded Segment; the control plane reads it, checks the chain, then signs."""

    first_seq: Count
    last_seq: Count
    previous_hash: Sha256
    last_hash: Sha256
    lines_sha256: Sha256
    bodies_sha256: Sha256OrEmpty = ""


class SealReply(Message, frozen=True, kw_only=True):
    """The signed Seal: `seal` is `Seal.to_json`."""

    seal: dict[str, Any]
    key_id: Short
    signature: Base64


M = TypeVar("M", bound=Message)


def decode(kind: type[M], data: bytes, limit: int = MAX_BODY_BYTES) -> M:
    """Read one wire body.

    Raises:
        InvalidInput: when it is too long, no JSON, lacks a field, has an unknown one, or breaks a limit.
    """
    if len(data) > limit:
        raise InvalidInput(f"A message is over {limit} bytes.", not_done="It was not read.", code="too_large")
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidInput(
            f"A message is malformed: {error}.", not_done="It was not read.", code="malformed_message"
        ) from error


def encode(message: Message) -> bytes:
    """Write one wire body."""
    return msgspec.json.encode(message)
