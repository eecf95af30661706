"""Edges in DynamoDB: tokens, keys, nonces and chain heads.

    EDGE#<edge> / EDGE, TOP, HEAD#<seq>, TOKEN       EDGE#<edge>.w<n> / TOP, HEAD#<seq>, of its worker processes
    TOKEN#<sha256> / TOKEN       NONCE#<edge> / <nonce>

`admit` is on every call. It reads one item (TOP) and writes one transaction: of the nonce alone when the head is the
highest one told before, of nonce, TOP and HEAD when it rose, of nonce and HEAD when the call was overtaken.
"""

from __future__ import annotations

import hmac
import re
from typing import Any, Final

from twokeys.edge_call import EdgeCall
from twokeys.errors import Conflict, Refused
from twokeys.record import ChainHead, same_hash

from ...ports.clock import Clock
from ...ports.edges import HEAD_SLACK_MILLISECONDS, Edge, Token
from ...ports.records import Note
from .people import judged_anew, raised_bundle
from .records import outbox
from .table import MAX_ACTIONS, TTL, Action, Check, ConditionFailed, Delete, Item, Key, Put, Table, Update

NONCE_KEPT_MILLISECONDS: Final = 3_600_000
"""How long a nonce stays after its call's time; a call is taken within a minute of it."""

HEAD_KEPT_MILLISECONDS: Final = 30 * 24 * 3_600_000
"""How long a told head waits for the Seal that covers it; the highest stays."""

TOKEN_KEPT_SECONDS: Final = 24 * 3600
"""How long a token's item stays after it expired."""

_EDGE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SOURCE = re.compile(_EDGE_ID.pattern + r"(\.w[0-9]{1,2})?")
_LISTING: Final = "EDGES"
_NAMES: Final = {"#hash": "hash"}


class DynamoEdges:
    """Implements `ports.edges.Edges`."""

    def __init__(self, table: Table, clock: Clock) -> None:
        self._table, self._clock = table, clock

    def add_token(self, token: Token, note: Note) -> None:
        def attempt() -> None:
            known = self._table.get(_edge_key(token.edge_id))
            if known is not None:
                word = "revoked" if known.get("revoked") else "enrolled"
                raise Conflict(f"The edge {token.edge_id} is {word}.", not_done="No token was made.",
                               advice="Choose another id.", code=word)  # fmt: skip
            kept = self._table.get(_token_key(token.token_sha256))
            if kept is not None and kept["edge_id"] != token.edge_id:
                raise Conflict("The token is another edge's.", not_done="No token was made.",
                               advice="Make a fresh one.", code="id_taken")  # fmt: skip
            where = _newest_token_key(token.edge_id)
            self._table.write(
                _put_token(token),
                Put({"pk": where.pk, "sk": where.sk, "token": token.token_sha256}),
                Check(_edge_key(token.edge_id), "attribute_not_exists(pk)"),
                outbox(note, self._clock.now()),
            )

        judged_anew(attempt)

    def enrol(self, token_sha256: str, key: bytes, note: Note) -> Edge:
        def attempt() -> Edge:
            token = self._table.get(_token_key(token_sha256))
            if token is None:
                raise _bad_token()
            edge_id, now = token["edge_id"], self._clock.now()
            known = self._table.get(_edge_key(edge_id))
            if "used_by" in token:
                # A lost answer may be asked for again, by whoever holds the very key.
                edge = _edge(known)
                if edge is not None and hmac.compare_digest(token["used_by"], key):
                    return edge
                raise _bad_token()
            newest = self._table.get(_newest_token_key(edge_id))
            if known is not None or newest is None or newest["token"] != token_sha256 or token["expires_at"] <= now:
                raise _bad_token()
            edge = Edge(edge_id=edge_id, targets=token["targets"], key=key)
            self._table.write(
                Update(
                    _token_key(token_sha256), f"SET used_by = :key REMOVE #{TTL}",
                    "attribute_exists(pk) AND attribute_not_exists(used_by)", {":key": key}, {f"#{TTL}": TTL},
                ),
                Delete(_newest_token_key(edge_id), "#token = :sha", {":sha": token_sha256}, {"#token": "token"}),
                _put_edge(edge),
                raised_bundle(),
                outbox({**note, "outcome": "enrolled", "reason": f"Edge {edge_id} enrolled."}, now),
            )  # fmt: skip
            return edge

        return judged_anew(attempt)

    def edge(self, edge_id: str) -> Edge | None:
        # Whoever calls names the Edge before anything is verified: what can't be an id is not asked for.
        return _edge(self._table.get(_edge_key(edge_id))) if _EDGE_ID.fullmatch(edge_id) else None

    def edges(self) -> list[Edge]:
        found = (_edge(item) for item in self._table.query(_LISTING, index=True))
        return sorted((edge for edge in found if edge is not None), key=lambda edge: edge.edge_id)

    def revoke(self, edge_id: str, note: Note) -> bool:
        def attempt() -> bool:
            known = self._table.get(_edge_key(edge_id))
            newest = self._table.get(_newest_token_key(edge_id))
            if (known is None and newest is None) or (known is not None and known.get("revoked")):
                return False
            self._table.write(
                *_revoked(edge_id, known, newest), raised_bundle(), outbox(note, self._clock.now())
            )  # fmt: skip
            return True

        return judged_anew(attempt) if _EDGE_ID.fullmatch(edge_id) else False

    def admit(self, call: EdgeCall, forget_nonces_before: int) -> ChainHead:
        """As the port says; `forget_nonces_before` is not needed: nonces go by their own time, later than that."""

        def attempt() -> ChainHead:
            top = self._table.get(_top_key(call.source))
            kept = ChainHead(top["seq"], top["hash"]) if top else None
            try:
                if top is not None and kept is not None:
                    _check_against(top, call)
                self._table.write(_use_nonce(call), *_tell(call, kept))
            except (ConditionFailed, Refused):
                self._look_at_nonce_and_head(call)
                raise
            return call.head if kept is None or call.head.sequence > kept.sequence else kept

        return judged_anew(attempt)

    def head(self, source: str) -> ChainHead | None:
        item = self._table.get(_top_key(source)) if _SOURCE.fullmatch(source) else None
        return ChainHead(item["seq"], item["hash"]) if item else None

    def told_heads(self, source: str, first: int, last: int) -> list[ChainHead]:
        now = self._clock.now() // 1000
        return [
            ChainHead(item["seq"], item["hash"]) for item in self._heads(source, first, last) if item[TTL] > now
        ]  # fmt: skip

    def forget_heads(self, source: str, up_to: int) -> None:
        gone: list[Action] = [Delete(Key(item["pk"], item["sk"])) for item in self._heads(source, 0, up_to)]
        for start in range(0, len(gone), MAX_ACTIONS):
            self._table.write(*gone[start : start + MAX_ACTIONS])

    def bundle_revision(self) -> int:
        return int((self._table.get(Key("META", "BUNDLE")) or {}).get("revision", 1))

    def _heads(self, source: str, first: int, last: int) -> list[Item]:
        if last < first or not _SOURCE.fullmatch(source):
            return []
        return list(self._table.query(f"EDGE#{source}", between=(_head_sort(max(first, 0)), _head_sort(last))))

    def _look_at_nonce_and_head(self, call: EdgeCall) -> None:
        """Why a call was not admitted, if that is for good."""
        if self._table.get(_nonce_key(call)) is not None:
            raise Refused("This very call was answered before.", not_done="It was not answered again.",
                          code="replayed_call")  # fmt: skip
        told = self._table.get(_head_key(call))
        if told is not None and not same_hash(told["hash"], call.head.hash):
            raise _contradicted(call)


def _check_against(top: Item, call: EdgeCall) -> None:
    """What the highest head says of a call's; what lower ones say is the write's condition."""
    if call.head.sequence == top["seq"] and not same_hash(top["hash"], call.head.hash):
        raise _contradicted(call)
    if call.head.sequence < top["seq"] and call.time > top["signed_at"] + HEAD_SLACK_MILLISECONDS:
        raise _fork(f"The edge's chain went back from record {top['seq']} to {call.head.sequence}.")


def _use_nonce(call: EdgeCall) -> Put:
    key = _nonce_key(call)
    kept_until = (call.time + NONCE_KEPT_MILLISECONDS) // 1000
    return Put({"pk": key.pk, "sk": key.sk, TTL: kept_until}, "attribute_not_exists(pk)")


def _tell(call: EdgeCall, top: ChainHead | None) -> list[Action]:
    """Keep a call's head, and raise the highest one to it."""
    if top == call.head:
        return []
    key, head = _head_key(call), call.head
    told = Put(
        {"pk": key.pk, "sk": key.sk, "seq": head.sequence, "hash": head.hash,
         TTL: (call.time + HEAD_KEPT_MILLISECONDS) // 1000},
        "attribute_not_exists(pk) OR #hash = :hash", {":hash": head.hash}, _NAMES,
    )  # fmt: skip
    if top is not None and head.sequence < top.sequence:
        return [told]
    where = _top_key(call.source)
    item = {"pk": where.pk, "sk": where.sk, "seq": head.sequence, "hash": head.hash, "signed_at": call.time}
    if top is None:
        return [told, Put(item, "attribute_not_exists(pk)")]
    return [told, Put(item, "seq = :seq AND #hash = :hash", {":seq": top.sequence, ":hash": top.hash}, _NAMES)]


def _put_token(token: Token) -> Put:
    key = _token_key(token.token_sha256)
    item = {
        "pk": key.pk, "sk": key.sk, "edge_id": token.edge_id, "targets": token.targets,
        "expires_at": token.expires_at, TTL: token.expires_at // 1000 + TOKEN_KEPT_SECONDS,
    }  # fmt: skip
    return Put(
        item,
        "attribute_not_exists(pk) OR (edge_id = :edge AND attribute_not_exists(used_by))",
        {":edge": token.edge_id},
    )


def _put_edge(edge: Edge) -> Put:
    where = _edge_key(edge.edge_id)
    item: dict[str, Any] = {
        "pk": where.pk, "sk": where.sk, "edge_id": edge.edge_id, "targets": edge.targets, "public_key": edge.key,
        "list_pk": _LISTING, "list_sk": edge.edge_id,
    }  # fmt: skip
    return Put(item, "attribute_not_exists(pk)")


def _revoked(edge_id: str, known: Item | None, newest: Item | None) -> list[Action]:
    """Mark the id, which is what keeps it from ever being used again, and drop its unused token."""
    where = _edge_key(edge_id)
    actions: list[Action]
    if known is None:
        actions = [Put({"pk": where.pk, "sk": where.sk, "edge_id": edge_id, "revoked": True},
                       "attribute_not_exists(pk)")]  # fmt: skip
    else:
        actions = [
            Update(where, "SET revoked = :yes REMOVE list_pk, list_sk",
                   "attribute_exists(pk) AND attribute_not_exists(revoked)", {":yes": True})
        ]  # fmt: skip
    pointer = _newest_token_key(edge_id)
    if newest is None:
        return [*actions, Check(pointer, "attribute_not_exists(pk)")]
    return [
        *actions,
        Delete(pointer, "#token = :sha", {":sha": newest["token"]}, {"#token": "token"}),
        Delete(_token_key(newest["token"])),
    ]


def _edge(item: Item | None) -> Edge | None:
    if item is None or item.get("revoked"):
        return None
    return Edge(edge_id=item["edge_id"], targets=item["targets"], key=item["public_key"])


def _edge_key(edge_id: str) -> Key:
    return Key(f"EDGE#{edge_id}", "EDGE")


def _newest_token_key(edge_id: str) -> Key:
    return Key(f"EDGE#{edge_id}", "TOKEN")


def _token_key(token_sha256: str) -> Key:
    return Key(f"TOKEN#{token_sha256}", "TOKEN")


def _top_key(source: str) -> Key:
    return Key(f"EDGE#{source}", "TOP")


def _head_key(call: EdgeCall) -> Key:
    return Key(f"EDGE#{call.source}", _head_sort(call.head.sequence))


def _head_sort(sequence: int) -> str:
    return f"HEAD#{sequence:016d}"


def _nonce_key(call: EdgeCall) -> Key:
    return Key(f"NONCE#{call.edge_id}", call.nonce)


def _bad_token() -> Refused:
    return Refused("The enrolment token is unknown, used or expired.", not_done="The edge was not enrolled.",
                   advice="Ask an owner for a fresh one.", code="bad_token")  # fmt: skip


def _contradicted(call: EdgeCall) -> Refused:
    return _fork(f"The edge told another chain head at record {call.head.sequence} before.")


def _fork(happened: str) -> Refused:
    return Refused(happened, not_done="The call was not answered.", code="chain_fork",
                   advice="Two edges may run with one identity, or its journal was restored from a copy.")  # fmt: skip
