"""Messages are pointers: no value, no authority, no injected header or markup; failing to send approves nothing."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from control_plane.chalicelib.adapters.embedded.outbox import MAX_MESSAGES, Outbox, written
from control_plane.chalicelib.adapters.slack import message
from control_plane.chalicelib.ports.mailer import Mail
from control_plane.chalicelib.ports.slack import SlackPost
from control_plane.chalicelib.services.notify import MAX_TRIES, Failure, Notice, Notifier, Recipient
from tests.control_plane.pages.site import Browser, Site
from twokeys.errors import InvalidInput, Unavailable

NOTICE = Notice(
    request_id="req_" + "a" * 26,
    requester="agent-7",
    requester_kind="machine",
    sponsor="ann",
    target="sample-db",
    kind="UPDATE",
    objects=("write public.orders",),
    seconds_left=300,
    in_transaction=True,
)
ROB = Recipient("rob", "rob@example.com")
URL = "https://twokeys.example.com"


@dataclass
class Post:
    """A mailer and a Slack that fail as often as they are told."""

    failures: int = 0
    error: type[Exception] = Unavailable
    taken: list[Mail | SlackPost] = field(default_factory=list)

    def send(self, mail: Mail | SlackPost) -> None:
        if self.failures:
            self.failures -= 1
            raise self.error("It did not answer.")
        self.taken.append(mail)

    post = send


def notifier(post: Post, failed: list[Failure], slack: bool = False, ends: bool = False) -> Notifier:
    return Notifier(URL, post, post if slack else None, lambda seconds: ends, failed.append)


def test_a_reviewer_gets_a_pointer() -> None:
    post = Post()
    assert notifier(post, [], slack=True).notify(NOTICE, [ROB]) == 2
    mail = post.taken[0]
    assert isinstance(mail, Mail)
    assert (mail.to, mail.subject) == ("rob@example.com", "agent-7 asks: UPDATE in sample-db")
    assert f"{URL}/r/{NOTICE.request_id}" in mail.text
    assert "sponsor ann" in mail.text and "public.orders" in mail.text and "5 min 0 s" in mail.text


def test_a_notice_has_no_place_for_a_statement_or_a_value() -> None:
    names = {one.name for one in dataclasses.fields(Notice)}
    assert not names & {"statement", "excerpt", "text", "command", "values", "reasons", "client"}


def test_a_failing_server_is_tried_a_bounded_number_of_times() -> None:
    failed: list[Failure] = []
    post = Post(failures=MAX_TRIES - 1)
    assert notifier(post, failed).notify(NOTICE, [ROB]) == 1 and not failed
    post = Post(failures=100)
    assert notifier(post, failed).notify(NOTICE, [ROB]) == 0
    assert post.failures == 100 - MAX_TRIES
    assert failed == [Failure(NOTICE.request_id, "mail", "rob", "It did not answer.")]


def test_one_failure_does_not_keep_the_others_from_being_told() -> None:
    post = Post(failures=MAX_TRIES)
    ann = Recipient("ann", "ann@example.com")
    assert notifier(post, []).notify(NOTICE, [ROB, ann]) == 1
    assert isinstance(post.taken[0], Mail) and post.taken[0].to == "ann@example.com"


def test_what_can_never_be_sent_is_not_tried_again_and_an_end_ends_it() -> None:
    post, failed = Post(failures=5, error=InvalidInput), list[Failure]()
    notifier(post, failed).notify(NOTICE, [ROB])
    assert post.failures == 4 and len(failed) == 1
    post = Post(failures=5)
    notifier(post, failed, ends=True).notify(NOTICE, [ROB])
    assert post.failures == 4


@pytest.mark.parametrize("evil", ["a\r\nBcc: evil@example.com", "a\nb", "a\x00b", "a\u2028b", "\u202eevil", "x" * 500])
def test_a7_names_cannot_inject_headers_or_lines(evil: str, tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, "twokeys@example.com", lambda: 1_795_379_462.0)
    notice = dataclasses.replace(NOTICE, requester=evil, kind=evil, target=evil, objects=(evil,) * 20, sponsor=evil)
    assert Notifier(URL, outbox, None, lambda _: False, lambda _: None).notify(notice, [ROB]) == 1
    raw = next(tmp_path.glob("*.eml")).read_bytes()
    head = raw.partition(b"\r\n\r\n")[0]
    assert b"\r\nBcc:" not in head and head.count(b"\r\nTo:") == 1
    kept = outbox.newest()[0].mail
    assert "\n" not in kept.subject and "\u202e" not in kept.text and len(kept.text) < 5000


@pytest.mark.parametrize("to", ["", "rob", "rob@example.com\r\nBcc: x@y.z", "rob@example.com, x@y.z", "a b@c"])
def test_a_malformed_address_is_refused(to: str) -> None:
    with pytest.raises(InvalidInput):
        written(Mail(to, "s", "t"), "twokeys@example.com", 0.0)


def test_a7_slack_markup_and_mentions_stay_text() -> None:
    sent = message(SlackPost("<!channel> *run* <https://evil.example|ok> & `x`", f"{URL}/r/req_x"), "C1")
    assert "<!channel>" not in str(sent["text"]) and "&lt;!channel&gt;" in str(sent["text"])
    blocks = sent["blocks"]
    assert isinstance(blocks, list)
    assert [one["text"]["type"] for one in blocks] == ["plain_text", "mrkdwn"]
    assert blocks[1]["text"]["text"] == f"<{URL}/r/req_x|Look at it>"
    assert not any(one["type"] == "actions" for one in blocks)


def test_the_outbox_keeps_whole_messages_and_not_too_many(tmp_path: Path) -> None:
    now = [1_795_379_462.0]
    outbox = Outbox(tmp_path, "twokeys@example.com", lambda: now[0])
    for index in range(MAX_MESSAGES + 3):
        now[0] += 1
        outbox.send(Mail("rob@example.com", f"number {index}", "text\n", f"{URL}/r/req_x"))
    (tmp_path / "foreign.eml").write_bytes(b"x")
    assert len(list(tmp_path.glob("*.eml"))) == MAX_MESSAGES + 1
    newest = outbox.newest(1)[0]
    assert newest.mail == Mail("rob@example.com", f"number {MAX_MESSAGES + 2}", "text\n", f"{URL}/r/req_x")


def test_the_outbox_page_is_for_signed_in_people(site: Site, rob: Browser) -> None:
    site.outbox.send(Mail("rob@example.com", "agent-7 <b>asks</b>", "Look\n", f"{site.url}/r/{NOTICE.request_id}"))
    site.outbox.send(Mail("rob@example.com", "other", "Look\n", "https://evil.example/r/x"))
    assert Browser(site).get("/outbox").location == "/signin?next=/outbox"
    page = rob.get("/outbox").text
    assert "agent-7 &lt;b&gt;asks&lt;/b&gt;" in page and f'href="/r/{NOTICE.request_id}"' in page
    assert 'href="https://evil' not in page
