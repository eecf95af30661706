"""Who this Edge is: its P-256 key, made here and never sent, and what it pinned when it enrolled.

<state_dir>/edge.key       PEM, PKCS #8, mode 0600; `edge.key.new` until the enrolment was answered
<state_dir>/edge.json      edge id, pinned public keys, highest Bundle revision seen, last known time
"""

from __future__ import annotations

import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from edge_agent.control.clock import SavedTime
from edge_agent.durable import FOLDER_MODE, read_limited, write_whole
from twokeys.errors import InvalidInput, Refused, Unavailable
from twokeys.signature import KeyRole, PublicKey

MAX_PINNED_KEYS: Final = 64
"""Most verification keys an Edge pins."""

_MAX_KEY_BYTES: Final = 4096
_MAX_STATE_BYTES: Final = 256 * 1024


class EdgeState(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `edge.json` holds."""

    edge_id: str
    keys: list[dict[str, str]]
    revision: int = 0
    time: SavedTime = SavedTime()


@dataclass(frozen=True, slots=True)
class Identity:
    """The Edge's id and private key."""

    edge_id: str
    key: ec.EllipticCurvePrivateKey


class StateFolder:
    """The Edge's own files. One process uses it: the journal's lock sees to that."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def prepare(self) -> None:
        """Make the folder. Raises Unavailable."""
        try:
            self.folder.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        except OSError as error:
            raise _unavailable("made", error) from error

    def identity(self, expected_id: str = "") -> Identity:
        """Read id and key.

        Args:
            expected_id: The id in the configuration, if it has one.

        Raises:
            Refused: when this folder has not been enrolled, is another edge's, or others can read the key.
            InvalidInput: when a file is malformed.
        """
        state, key = self.state(), self._key("edge.key")
        if state is not None and key is None:
            # A crash between the two steps of `keep_new_key`.
            key = self._key("edge.key.new")
        if state is None or key is None:
            raise Refused(
                "This edge has not been enrolled.",
                not_done="It was not started.",
                code="not_enrolled",
                advice="Ask an owner for a one-time token, then run: twokeys edge enrol --token TOKEN",
            )
        if expected_id and state.edge_id != expected_id:
            raise Refused(
                f"The state folder is of {state.edge_id}, and the configuration says {expected_id}.",
                not_done="The edge was not started.",
                advice="Mend id or state_dir.",
                code="wrong_edge",
            )
        return Identity(state.edge_id, key)

    def state(self) -> EdgeState | None:
        """Read `edge.json`; None before enrolment."""
        data = self._read("edge.json", _MAX_STATE_BYTES)
        if data is None:
            return None
        try:
            return msgspec.json.decode(data, type=EdgeState)
        except msgspec.DecodeError as error:
            raise _malformed("edge.json", str(error)) from error

    def save_state(self, state: EdgeState) -> None:
        """Write `edge.json`, whole and on disk. Raises Unavailable."""
        self.write("edge.json", msgspec.json.encode(state))

    def new_key(self) -> ec.EllipticCurvePrivateKey:
        """The key to enrol with: the one of an enrolment whose answer was lost, else a fresh one, on disk."""
        found = self._key("edge.key.new")
        if found is not None:
            return found
        key = ec.generate_private_key(ec.SECP256R1())
        self.write(
            "edge.key.new",
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
        )
        return key

    def keep_new_key(self, state: EdgeState) -> None:
        """The enrolment was answered: this is who we are from here on."""
        self.save_state(state)
        try:
            (self.folder / "edge.key.new").rename(self.folder / "edge.key")
        except OSError as error:
            raise _unavailable("written", error) from error

    def read(self, name: str, limit: int) -> bytes | None:
        """A file of the folder; None when there is none. Raises Unavailable."""
        return self._read(name, limit)

    def write(self, name: str, data: bytes) -> None:
        """Write a file of the folder, whole and on disk. Raises Unavailable."""
        try:
            write_whole(self.folder / name, data)
        except OSError as error:
            raise _unavailable("written", error) from error

    def _read(self, name: str, limit: int) -> bytes | None:
        try:
            return read_limited(self.folder / name, limit)
        except OSError as error:
            raise _unavailable("read", error) from error

    def _key(self, name: str) -> ec.EllipticCurvePrivateKey | None:
        data = self._read(name, _MAX_KEY_BYTES)
        if data is None:
            return None
        mode = stat.S_IMODE((self.folder / name).stat().st_mode)
        if mode & 0o077:
            raise Refused(
                f"The key file {name} can be read or changed by others (mode {mode:04o}).",
                not_done="The edge was not started.",
                advice="Make it 0600; if others used the machine, enrol again.",
                code="open_key_file",
            )
        try:
            key = serialization.load_pem_private_key(data, None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise _malformed(name, "it is no PEM key") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            raise _malformed(name, "it is no EC key on P-256")
        return key


def pinned(keys: list[dict[str, str]]) -> Mapping[str, PublicKey]:
    """Verification keys by id from their wire form.

    Raises:
        InvalidInput: when there are too many, one is malformed, one is an Edge's, or none can sign approvals.
    """
    if len(keys) > MAX_PINNED_KEYS:
        raise InvalidInput(f"There are over {MAX_PINNED_KEYS} keys to pin.", not_done="None was pinned.")
    found = {key.key_id: key for key in map(PublicKey.from_json, keys)}
    roles = {key.role for key in found.values()}
    if KeyRole.APPROVAL not in roles or KeyRole.EDGE in roles:
        raise InvalidInput("The keys to pin have no approval key, or an edge's.", not_done="None was pinned.")
    return found


def _unavailable(what: str, error: OSError) -> Unavailable:
    return Unavailable(
        f"The edge's state can't be {what} ({error}).",
        not_done="Nothing was changed.",
        advice="Look after the folder state_dir of the configuration.",
        code="state_folder",
    )


def _malformed(name: str, why: str) -> InvalidInput:
    return InvalidInput(
        f"The edge's file {name} is malformed: {why}.",
        not_done="The edge was not started.",
        advice="Restore it, or enrol again with an empty state folder.",
        code="bad_state",
    )
