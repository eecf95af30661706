"""Sends notices in a thread of its own, so that opening a Request never waits for a mail server.

What doesn't fit the queue, and what is left when the process ends, is given up and told like any other failure:
notices are a courtesy, the list page has every Request.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from typing import Final

from ...ports.mailer import Mailer
from ...ports.slack import Slack
from ...services.notify import Failure, Notice, Notifier, Recipient

MAX_WAITING: Final = 1000
"""Notices waiting to be sent."""


class NotifyingThread:
    """A Notifier behind a bounded queue."""

    def __init__(self, public_url: str, mailer: Mailer, slack: Slack | None, failed: Callable[[Failure], None]) -> None:
        """Args: as `Notifier`; `failed` is called from the thread, and from `notify` when the queue is full."""
        self._ending = threading.Event()
        self._failed = failed
        self._notifier = Notifier(public_url, mailer, slack, self._ending.wait, failed)
        self._waiting: queue.Queue[tuple[Notice, Sequence[Recipient]] | None] = queue.Queue(MAX_WAITING)
        self._thread = threading.Thread(target=self._run, name="notifying", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop(self) -> None:
        """End: the message that is being sent is finished, no more are tried."""
        self._ending.set()
        try:
            self._waiting.put_nowait(None)
        except queue.Full:
            # The thread sees the event after its current message.
            return
        finally:
            self._thread.join(30)

    def notify(self, notice: Notice, recipients: Sequence[Recipient]) -> None:
        """Send this soon. Never raises, never waits."""
        try:
            self._waiting.put_nowait((notice, tuple(recipients)))
        except queue.Full:
            self._failed(Failure(notice.request_id, "queue", "", "Too many notices are waiting."))

    def _run(self) -> None:
        while (item := self._waiting.get()) is not None:
            notice, recipients = item
            if self._ending.is_set():
                self._failed(Failure(notice.request_id, "queue", "", "The control plane ended meanwhile."))
                if self._waiting.empty():
                    return
                continue
            try:
                self._notifier.notify(notice, recipients)
            except Exception as error:
                self._failed(Failure(notice.request_id, "queue", "", f"Unexpected {type(error).__name__}."))
