"""Opening a Request never waits for a mail server, and ending never hangs on one."""

from __future__ import annotations

import threading

from control_plane.chalicelib.adapters.embedded.notifying import MAX_WAITING, NotifyingThread
from control_plane.chalicelib.ports.mailer import Mail
from control_plane.chalicelib.services.notify import Failure
from tests.control_plane.pages.test_notify import NOTICE, ROB
from twokeys.errors import Unavailable


class SlowMailer:
    """Takes a mail when it is told to."""

    def __init__(self, works: bool = True) -> None:
        self.go, self.asked, self.works = threading.Event(), threading.Event(), works
        self.taken: list[Mail] = []

    def send(self, mail: Mail) -> None:
        self.asked.set()
        self.go.wait(10)
        if not self.works:
            raise Unavailable("It is down.")
        self.taken.append(mail)


def test_notify_does_not_wait_and_the_queue_is_bounded() -> None:
    mailer, failed = SlowMailer(), list[Failure]()
    thread = NotifyingThread("https://x", mailer, None, failed.append)
    thread.start()
    thread.notify(NOTICE, [ROB])
    assert mailer.asked.wait(5)
    for _ in range(MAX_WAITING + 1):
        thread.notify(NOTICE, [ROB])
    assert len(failed) == 1
    mailer.go.set()
    thread.stop()
    assert len(mailer.taken) + len(failed) == MAX_WAITING + 2


def test_stopping_ends_the_pauses_between_tries() -> None:
    mailer, failed = SlowMailer(works=False), list[Failure]()
    thread = NotifyingThread("https://x", mailer, None, failed.append)
    thread.start()
    thread.notify(NOTICE, [ROB])
    assert mailer.asked.wait(5)
    mailer.go.set()
    thread.stop()
    assert [one.problem for one in failed] == ["It is down."]


def test_an_unexpected_error_ends_one_notice_only() -> None:
    failed = list[Failure]()
    told = threading.Event()

    class Broken:
        def send(self, mail: Mail) -> None:
            raise RuntimeError("bug")

    def tell(one: Failure) -> None:
        failed.append(one)
        told.set()

    thread = NotifyingThread("https://x", Broken(), None, tell)
    thread.start()
    thread.notify(NOTICE, [ROB])
    assert told.wait(5)
    told.clear()
    thread.notify(NOTICE, [ROB])
    assert told.wait(5)
    thread.stop()
    assert len(failed) == 2
