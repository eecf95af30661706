"""What the review pages ask of the rest: look at a Request as a person, list what waits, vote.

A vote is the decisions' matter; here it is only made sure that the person was shown what they approve: every part of
the Command, in this session, under the digest that their form names.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Final, Protocol

from twokeys.errors import InvalidInput, Refused
from twokeys.preview import Preview, read_stored

from ..pages.document import Document, lay_out
from ..pages.views import DecisionForm, ListView, RequestView
from .sessions import Session, Sessions

MAX_REASON_CHARACTERS: Final = 2000
"""Longest reason of a vote."""


@dataclass(frozen=True, slots=True)
class Looked:
    """A Request as one person sees it.

    Args:
        request: What the page shows.
        command_digest: What a vote is about.
        blob: The whole Command; None when it isn't there.
        refusal: Why this person may not decide, in a sentence; empty when they may.
        types: Names of the parameters' types, as the server resolved them.
        starts: Where in its text each of several statements begins, in bytes, as the Edge's grammar found them.
        preview_digest: Of its Preview; empty without one.
        preview: The Preview as it is kept; None when it isn't there.
    """

    request: RequestView
    command_digest: str
    blob: bytes | None
    refusal: str
    types: tuple[str, ...] = ()
    starts: tuple[int, ...] = ()
    preview_digest: str = ""
    preview: bytes | None = None


@dataclass(frozen=True, slots=True)
class Ballot:
    """What a person decided on the page.

    Args:
        request_id: The Request.
        person_id: Who, from their session.
        auth_time: When they proved who they are, for policies that ask for a recent proof.
        approve: True approves, False denies.
        reason: May be empty for an approval.
        command_digest: What they were shown.
        preview_digest: Of the Preview they were shown; empty without one.
    """

    request_id: str
    person_id: str
    auth_time: int
    approve: bool
    reason: str
    command_digest: str
    preview_digest: str = ""


class Desk(Protocol):
    """The Requests, for people who are still registered."""

    def look(self, request_id: str, person_id: str) -> Looked:
        """One Request.

        Raises:
            InvalidInput: with code ``not_found`` when there is none, or this person may not see it.
        """

    def note_read(self, request_id: str, person_id: str) -> None:
        """Record that this person is being shown the Command, before they are. Raises when it can't be recorded."""

    def listing(self, person_id: str) -> ListView:
        """What waits for this person, for others, and what is over."""

    def vote(self, ballot: Ballot) -> None:
        """Decide, in one transaction that checks everything again. Raises Refused or Conflict."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a session may do with a Request after what it was shown; `document` is None when it can't be laid out."""

    document: Document | None
    unreadable: str
    form: DecisionForm
    preview: Preview | None = None


class Reviewing:
    """Connects what a session was shown with what it may approve."""

    def __init__(self, desk: Desk, sessions: Sessions) -> None:
        """Args: desk: the Requests; sessions: who was shown what."""
        self._desk = desk
        self._sessions = sessions

    def look(self, session: Session, request_id: str) -> Looked:
        """One Request as this session's person."""
        return self._desk.look(request_id, session.person_id)

    def listing(self, session: Session) -> ListView:
        """The list of this session's person."""
        return self._desk.listing(session.person_id)

    def show(self, session: Session, looked: Looked, offset: int) -> Shown:
        """Lay the Command out, and note that its part at `offset` is shown now."""
        request_id, digest = looked.request.id, looked.command_digest
        token = session.token(purpose(request_id))
        try:
            document, preview = _document(looked), _preview(looked)
        except InvalidInput as error:
            return Shown(None, str(error), DecisionForm(token, digest, looked.refusal, 1, 0, looked.preview_digest))
        part = document.part_at(offset)
        # Reading a body is itself a record: one for each session, however many parts are read.
        if not self._sessions.shown(session, request_id, digest):
            self._desk.note_read(request_id, session.person_id)
        shown = self._sessions.mark_shown(session, request_id, digest, part.index)
        left = [one for one in document.parts if one.index not in shown]
        following = left[0].offset if left else 0
        form = DecisionForm(token, digest, looked.refusal, len(left), following, looked.preview_digest)
        return Shown(document, "", form, preview)

    def decide(self, session: Session, request_id: str, fields: dict[str, str]) -> None:
        """Take a decision form.

        Raises:
            InvalidInput: for an unknown verdict, a denial without a reason, or a reason that is too long.
            Refused: for another form's token, another command's digest, or an approval of what was not shown whole.
            Conflict: when it is decided or over already.
        """
        session.check_token(purpose(request_id), fields.get("csrf", ""))
        verdict, reason = fields.get("verdict", ""), fields.get("reason", "").replace("\r\n", "\n").strip()
        if verdict not in ("approve", "deny"):
            raise InvalidInput("The form says neither approve nor deny.", not_done="Nothing was decided.",
                               advice="Use the buttons of the page.", code="bad_form")  # fmt: skip
        if len(reason) > MAX_REASON_CHARACTERS:
            raise InvalidInput(f"The reason is over {MAX_REASON_CHARACTERS} characters.",
                               not_done="Nothing was decided.", advice="Shorten it.", code="bad_form")  # fmt: skip
        if verdict == "deny" and not reason:
            raise InvalidInput(
                "A denial needs a reason: the caller is told it.",
                not_done="Nothing was decided.",
                advice="Go back, write one sentence, and deny again.",
                code="reason_missing",
            )
        looked = self.look(session, request_id)
        digest = fields.get("command_digest", "")
        if not hmac.compare_digest(digest.encode("utf-8", "replace"), looked.command_digest.encode()):
            raise Refused("The form shows another command than the request holds.", not_done="Nothing was decided.",
                          advice="Open the request again and read it.", code="digest_mismatch")  # fmt: skip
        preview = fields.get("preview_digest", "")
        if not hmac.compare_digest(preview.encode("utf-8", "replace"), looked.preview_digest.encode()):
            raise Refused("The form shows another preview than the request holds.", not_done="Nothing was decided.",
                          advice="Open the request again and read it.", code="preview_mismatch")  # fmt: skip
        if verdict == "approve":
            self._refuse_unshown(session, looked)
        shown, who = (looked.command_digest, looked.preview_digest), (session.person_id, session.auth_time)
        self._desk.vote(Ballot(request_id, *who, verdict == "approve", reason, *shown))

    def _refuse_unshown(self, session: Session, looked: Looked) -> None:
        _preview(looked)
        parts = len(_document(looked).parts)
        if len(self._sessions.shown(session, looked.request.id, looked.command_digest)) < parts:
            raise Refused("You were not shown the whole command in this sign-in.", not_done="It was not approved.",
                          advice="Read all its parts, then approve.", code="not_shown_whole")  # fmt: skip


def purpose(request_id: str) -> str:
    """What a decision form's token is for."""
    return f"decision:{request_id}"


def _document(looked: Looked) -> Document:
    if looked.blob is None:
        raise InvalidInput(
            "The command is not stored.",
            not_done="It can't be shown, so it can't be approved.",
            advice="Deny it, and ask the caller to send it again.",
            code="unreadable_command",
        )
    return lay_out(looked.blob, looked.types, looked.starts)


def _preview(looked: Looked) -> Preview | None:
    """What the Command would do; None where the Edge told nothing. Raises InvalidInput for one that is not there."""
    if not looked.preview_digest:
        return None
    if looked.preview is None:
        raise InvalidInput(
            "The preview is not stored.",
            not_done="It can't be shown, so the command can't be approved.",
            advice="Deny it, and ask the caller to send it again.",
            code="unreadable_preview",
        )
    return read_stored(looked.preview)
