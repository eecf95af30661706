"""One deployment in one folder: files opened, ports wired, threads started and stopped.

STATE/keys/        key files                     STATE/recordings/  Segments and Seals, and keys.json for auditors
STATE/store.sqlite everything that changes       STATE/incoming/    uploads that are not sealed yet
STATE/blobs/       whole Commands                STATE/people/      sign-in, sessions, outbox
STATE/deployment.json   what bootstrap fixed: the public address
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
from aws_lambda_powertools import Logger
from chalice.app import Chalice

from twokeys.errors import Refused, TwokeysError
from twokeys.record import RecordType

from ...bootstrap import Ports, Services, assemble, services
from ...ports.clock import Clock
from ...ports.mailer import Mailer
from ...ports.requests import Stored
from ...services.decisions import Verdict
from ...services.desk import RequestDesk, Shelves
from ...services.limits import Limits
from ...services.notes import note, read_by
from ...services.notify import Failure
from ...services.people_auth import PeopleAuth
from ...services.reviewing import Ballot
from ...services.telling import Telling
from ..slack import SlackPoster
from . import people_site
from .blobs import FileBlobs
from .clock import SystemClock
from .database import Database
from .edges import SqliteEdges
from .keys import FileSigner, FileWrapping
from .notify_config import NotifyConfig, read_notify_config
from .notifying import NotifyingThread
from .oidc_client import EmbeddedOidcClient
from .passphrases import Passphrases
from .passphrases import blueprint as passphrase_routes
from .people import SqlitePeople
from .policies import SqlitePolicies
from .pruning import Pruning
from .recordings import FileRecordings
from .records import SqliteRecords
from .requests import SqliteRequests
from .scheduler import Scheduler
from .session_keys import SqliteSessionKeys
from .smtp import SmtpMailer
from .tickets import Tickets
from .waker import SqliteWaker

EXPORT_SECONDS: Final = 2.0
"""How often our own Records are sealed for auditors."""

PRUNE_SECONDS: Final = 3600.0
"""How often old Requests are forgotten; the first time soon after the start."""

DEPLOYMENT_FILE: Final = "deployment.json"


class Fixed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What bootstrap fixed."""

    public_url: str


@dataclass(frozen=True, slots=True)
class Store:
    """The opened files of a deployment, and what only this backend has."""

    ports: Ports
    database: Database
    scheduler: Scheduler
    waker: SqliteWaker
    recordings: FileRecordings
    tickets: Tickets

    def close(self) -> None:
        """Close the files. Threads must have ended."""
        self.database.close()


def open_store(folder: Path, clock: Clock, logger: Logger, most_waiters: int) -> Store:
    """Open a deployment's files. Raises Unavailable when they can't be used."""
    database = Database(folder / "store.sqlite", clock)
    blobs, tickets = FileBlobs(folder / "blobs"), Tickets(clock)
    requests, waker = SqliteRequests(database), SqliteWaker(database, most_waiters)
    recordings = FileRecordings(folder, database, blobs, tickets)
    scheduler = Scheduler(clock, requests.due, lambda fault: logger.error("a reminder failed", fault=fault))
    ports = Ports(
        clock=clock,
        requests=requests,
        people=SqlitePeople(database),
        policies=SqlitePolicies(database),
        edges=SqliteEdges(database),
        records=SqliteRecords(database),
        workflow=scheduler,
        waker=waker,
        blobs=blobs,
        recordings=recordings,
        session_keys=SqliteSessionKeys(database),
        signer=FileSigner(folder / "keys"),
        wrapping=FileWrapping(folder / "keys"),
    )
    return Store(ports, database, scheduler, waker, recordings, tickets)


class Deployment:
    """A deployment that answers: `app`, and threads for deadlines, notices and our own Segments."""

    def __init__(
        self, folder: Path, limits: Limits | None = None, clock: Clock | None = None, *, most_waiters: int = 32
    ) -> None:
        """Open it; `start` begins the threads.

        Raises:
            Refused: when the folder was not bootstrapped.
            Unavailable: when its files can't be used.
        """
        fixed = read_fixed(folder)
        if fixed is None:
            raise Refused(f"{folder} holds no deployment.", not_done="It was not started.",
                          advice="Run bootstrap first.", code="not_bootstrapped")  # fmt: skip
        self.public_url = fixed.public_url
        self.logger = Logger(service="twokeys-control", log_uncaught_exceptions=False)
        self.store = open_store(folder, clock or SystemClock(), self.logger, most_waiters)
        ports = self.store.ports
        self._told: list[Callable[[Stored], object]] = []
        self.services: Services = services(ports, limits or Limits(), self._opened)
        desk = RequestDesk(
            Shelves(ports.requests, ports.people, ports.policies, ports.blobs, ports.clock),
            self._cast,
            lambda stored, person: self._read(stored, person),
            has_outbox=True,
        )
        self.site = people_site.build(
            folder / "people", fixed.public_url, lambda: ports.clock.now() / 1000, desk, self._person_of
        )
        self._notifying = self._notifier(read_notify_config(folder))
        self._told.append(Telling(desk, ports.people, ports.clock, self._notifying).opened)
        client = EmbeddedOidcClient(self.site.issuer)
        passphrases = Passphrases(self.site.store, ports.people, lambda: ports.clock.now() / 1000)
        who = PeopleAuth(client, ports.people, ports.clock)
        pages = (*self.site.blueprints, passphrase_routes(passphrases, who, fixed.public_url))
        self.app: Chalice = assemble(self.services, client, pages, on_lambda=False)
        self.pruning = Pruning(self.store.database, FileBlobs(folder / "blobs"), ports.clock)
        self._ending = threading.Event()
        self._exporter = threading.Thread(target=self._export, name="exporter", daemon=True)

    def _notifier(self, config: NotifyConfig) -> NotifyingThread:
        mailer: Mailer = self.site.outbox
        if config.smtp is not None:
            mailer = SmtpMailer(config.smtp, lambda: self.store.ports.clock.now() / 1000)
        slack = SlackPoster(config.slack) if config.slack is not None else None
        return NotifyingThread(self.public_url, mailer, slack, self._not_told)

    def start(self) -> None:
        """Begin the threads. What was due while nobody ran ends now."""
        self.store.scheduler.begin(self.services.timeouts.remind)
        self._notifying.start()
        self._exporter.start()

    def stop(self) -> None:
        """End the threads, seal what is left, close the files."""
        self._ending.set()
        self.store.waker.close()
        self.store.scheduler.stop()
        self._notifying.stop()
        self._exporter.join(10)
        self._export_once()
        self.site.close()
        self.store.close()

    def _opened(self, stored: Stored) -> None:
        for tell in self._told:
            try:
                tell(stored)
            except TwokeysError as error:
                # The Request stands, and is on the list; that nobody was told of it must not end its opening.
                self.logger.error("nobody was told of a request", request=stored.asked.id, fault=error.code)

    def _cast(self, ballot: Ballot) -> object:
        person = self.store.ports.people.person(ballot.person_id)
        if person is None:
            raise Refused("You are not registered here any more.", not_done="Nothing was decided.",
                          code="not_registered")  # fmt: skip
        verdict = Verdict(ballot.approve, ballot.reason, ballot.command_digest, ballot.preview_digest)
        return self.services.decisions.vote(person, ballot.request_id, verdict)

    def _read(self, stored: Stored, person_id: str) -> None:
        self.store.ports.records.append(read_by(stored.asked, person_id))

    def _person_of(self, subject: str) -> str | None:
        entry = self.store.ports.people.person_of(subject)
        return entry.person.id if entry else None

    def _not_told(self, failure: Failure) -> None:
        self.logger.warning("a notice was given up", request=failure.request_id, channel=failure.channel)
        try:
            self.store.ports.records.append(
                note(
                    RecordType.NOTICE_FAILED,
                    request=failure.request_id,
                    person=failure.recipient,
                    reason=f"{failure.channel}: {failure.problem}"[:512],
                )
            )
        except TwokeysError as error:
            self.logger.error("a record was not written", fault=error.code)

    def _export(self) -> None:
        pruned = 0.0
        while not self._ending.wait(EXPORT_SECONDS):
            self._export_once()
            if time.monotonic() - pruned >= PRUNE_SECONDS:
                pruned = time.monotonic()
                self._prune()

    def _prune(self) -> None:
        try:
            self.pruning.run()
        except Exception as error:
            # What is old stays for another hour.
            self.logger.error("old requests were not forgotten", fault=type(error).__name__)

    def _export_once(self) -> None:
        try:
            self.services.own_segments.export()
        except Exception as error:
            # Auditors are late then, nothing is lost: the Records are in the store, and the next try comes soon.
            self.logger.error("own records were not sealed", fault=type(error).__name__)


def read_fixed(folder: Path) -> Fixed | None:
    """What bootstrap fixed; None when it did not run to its end."""
    try:
        return msgspec.json.decode((folder / DEPLOYMENT_FILE).read_bytes(), type=Fixed)
    except FileNotFoundError:
        return None
