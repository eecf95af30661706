"""The control plane on AWS: adapters opened, services wired, routes and workers in one application.

    environment ──Settings──▶ Ports ──services──▶ Services ──▶ routes, pages, workers ──▶ the Chalice application

Nothing is asked of AWS or of the issuer while this runs: `chalice package` imports the application too, and a cold
start should not wait for what the first call may not need.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from aws_lambda_powertools import Logger, Metrics
from chalice.app import Blueprint, Chalice

from twokeys.errors import InvalidInput, Refused, TwokeysError
from twokeys.record import RecordType

from ...bootstrap import Ports, Services, assemble, services
from ...ports.clock import Clock
from ...ports.oidc import CliClient, CognitoTokens, OidcClient, StandardTokens
from ...ports.requests import Stored
from ...routes import review, signin, static
from ...services.decisions import Verdict
from ...services.desk import RequestDesk, Shelves
from ...services.limits import Limits
from ...services.notes import note, read_by
from ...services.notify import Failure, Notifier
from ...services.reconciling import Reconciling
from ...services.reviewing import Ballot, Reviewing
from ...services.sessions import Sessions
from ...services.signing_in import SigningIn
from ...workers import Queues, Work
from ...workers import blueprint as workers_blueprint
from .clients import Clients
from .clock import LambdaClock
from .https_json import HttpsJson
from .notices import NoticesQueue, SecretSlack, Teller, failure_reason, mailer_of
from .oidc import DiscoveredIssuer, IssuerFacts
from .recordings import S3Recordings
from .secret_values import SecretValues
from .settings import Settings, read_settings
from .table import Table
from .timers import Timers

LIMITS: Final = Limits(bundle_seconds=1800, bundle_refresh_seconds=900)
"""Each look of an idle Edge is a paid call here: docs/cost.md says what more of them cost, SECURITY what fewer mean."""

RECONCILE_SECONDS: Final = 15.0
"""After which a run of the reconciler leaves the rest to the next one; the function has 29 s."""

PUBLISH_SECONDS: Final = 5.0
"""After which it begins with no further Segment; one that it has begun may take a while."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """What one process of a function is: everything wired to one set of settings."""

    settings: Settings
    ports: Ports
    services: Services
    work: Work
    app: Chalice


def build_app(environment: Mapping[str, str]) -> Chalice:
    """The application on Lambda.

    Raises:
        Refused: when the environment is incomplete or contradicts itself, naming what.
    """
    return deploy(read_settings(environment), Clients(), LambdaClock()).app


def deploy(settings: Settings, clients: Clients, clock: Clock, limits: Limits | None = None) -> Deployment:
    """Wire everything. Tests give their own clients and clock."""
    return _Wiring(settings, clients, clock).deployment(limits or LIMITS)


def open_ports(settings: Settings, clients: Clients, clock: Clock) -> Ports:
    """The adapters. Opening them asks nothing of AWS."""
    from .blobs import S3Blobs
    from .people import DynamoPeople
    from .policies import DynamoPolicies
    from .records import DynamoRecords
    from .requests import DynamoRequests
    from .session_keys import DynamoSessionKeys
    from .signer import KmsSigner
    from .wake_access import StsWakeAccess
    from .waker import SqsWaker
    from .watching import WatchedEdges
    from .workflow import StepFunctionsWorkflow
    from .wrapping import KmsWrapping

    table = Table(clients, settings.table)
    return Ports(
        clock=clock,
        requests=DynamoRequests(table, clock),
        people=DynamoPeople(table, clock),
        policies=DynamoPolicies(table, clock),
        edges=WatchedEdges(table, clock),
        records=DynamoRecords(table, clock),
        workflow=StepFunctionsWorkflow(table, clients, settings.state_machine, clock),
        waker=SqsWaker(table, clients, settings.wake_queue_prefix, clock),
        blobs=S3Blobs(clients, settings.incoming_bucket),
        recordings=recordings_of(settings, clients),
        session_keys=DynamoSessionKeys(table, clock),
        signer=KmsSigner(clients, settings.approval_keys, settings.seal_keys),
        wrapping=KmsWrapping(clients, settings.wrapping_key),
        wake_access=StsWakeAccess(clients, settings.wake_role, settings.wake_queue_prefix),
    )


def recordings_of(settings: Settings, clients: Clients) -> S3Recordings:
    """The recordings, with what the port does not have."""
    from .blobs import S3Blobs

    return S3Recordings(clients, settings, Table(clients, settings.table), S3Blobs(clients, settings.incoming_bucket))


def issuer_of(settings: Settings, secrets: SecretValues, clock: Clock) -> OidcClient:
    """The issuer as the settings name it.

    Raises:
        Refused: when they contradict themselves.
    """
    try:
        cognito = settings.issuer_tokens == "cognito"
        facts = IssuerFacts(
            issuer=settings.issuer,
            client_id=settings.issuer_client,
            access_tokens=CognitoTokens(settings.issuer_cli_client) if cognito else StandardTokens(),
            cli=CliClient(
                settings.issuer_cli_client or "twokeys-cli",
                settings.issuer_cli_scope,
                tuple(settings.issuer_cli_ports),
            ),
            max_age_seconds=settings.issuer_max_age_seconds,
        )
    except (ValueError, InvalidInput) as error:
        raise Refused(f"The issuer's settings can't be used: {error}", not_done="Nothing was started.",
                      advice="Look at TWOKEYS_ISSUER…", code="bad_settings") from error  # fmt: skip
    return DiscoveredIssuer(facts, lambda: secrets.text(settings.issuer_secret), clock, HttpsJson())


def queue_name(url: str) -> str:
    """The name of a queue, by its URL."""
    return url.rstrip("/").rpartition("/")[2]


class _Wiring:
    """The steps, and what they share."""

    def __init__(self, settings: Settings, clients: Clients, clock: Clock) -> None:
        if urlsplit(settings.public_url).path.strip("/"):
            raise Refused("The public address has a path.", not_done="Nothing was started.",
                          advice="Give the control plane a domain name of its own: pages and cookies are for its root.",
                          code="bad_settings")  # fmt: skip
        self._settings, self._clients, self._clock = settings, clients, clock
        self._logger = Logger(service="twokeys-control")
        self._secrets = SecretValues(clients, clock)
        self._ports = open_ports(settings, clients, clock)
        self._table = Table(clients, settings.table)

    def deployment(self, limits: Limits) -> Deployment:
        settings, ports = self._settings, self._ports
        queue = NoticesQueue(self._clients, settings.notices_queue, self._nobody_told)
        wired = services(ports, limits, queue.opened)
        desk = RequestDesk(
            Shelves(ports.requests, ports.people, ports.policies, ports.blobs, ports.clock),
            lambda ballot: self._cast(wired, ballot),
            self._read,
        )
        issuer = issuer_of(settings, self._secrets, self._clock)
        work = self._work(wired, desk)
        metrics = Metrics(namespace="Twokeys", service="twokeys")
        queues = Queues(queue_name(settings.due_queue), queue_name(settings.notices_queue))
        pages = (*self._pages(desk, issuer), workers_blueprint(queues, work, self._logger, metrics))
        app = assemble(wired, issuer, pages, on_lambda=True)
        return Deployment(settings, ports, wired, work, app)

    def _pages(self, desk: RequestDesk, issuer: OidcClient) -> tuple[Blueprint, ...]:
        from .web_sessions import DynamoWebSessions

        settings = self._settings
        live = Sessions(DynamoWebSessions(self._table, self._clock), self._seconds)
        signing = SigningIn(
            issuer, settings.public_url, lambda: self._secrets.cookie_key(settings.cookie_secret), self._seconds
        )
        return (
            signin.blueprint(signing, live, settings.public_url, self._person_of),
            review.blueprint(Reviewing(desk, live), live, settings.public_url),
            static.blueprint(),
        )

    def _work(self, wired: Services, desk: RequestDesk) -> Work:
        from .watching import SilentEdges

        ports, timers = self._ports, Timers(self._table)
        reconciling = Reconciling(ports.requests, wired.timeouts, ports.workflow, self._clock, timers.has)
        teller = Teller(ports.requests, ports.people, self._clock, desk, self._notifier)
        recordings = recordings_of(self._settings, self._clients)
        return Work(
            exists=lambda request_id: ports.requests.find(request_id) is not None,
            remind=wired.timeouts.remind,
            tell=teller.tell,
            export=wired.own_segments.export,
            reconcile=lambda: reconciling.run(_over_after(RECONCILE_SECONDS)),
            silent_edges=SilentEdges(ports.edges, self._table, self._clock).count,
            publish=lambda: recordings.publish_unfinished(_over_after(PUBLISH_SECONDS)),
            poisoned=self._poisoned,
        )

    def _notifier(self, pause: Callable[[float], bool]) -> Notifier:
        settings = self._settings
        mailer = mailer_of(self._clients, settings.mail_from, settings.mail_configuration)
        slack = SecretSlack(self._secrets, settings.slack_secret) if settings.slack_secret else None
        return Notifier(settings.public_url, mailer, slack, pause, self._not_told)

    def _cast(self, wired: Services, ballot: Ballot) -> object:
        person = self._ports.people.person(ballot.person_id)
        if person is None:
            raise Refused("You are not registered here any more.", not_done="Nothing was decided.",
                          code="not_registered")  # fmt: skip
        verdict = Verdict(ballot.approve, ballot.reason, ballot.command_digest, ballot.preview_digest)
        return wired.decisions.vote(person, ballot.request_id, verdict)

    def _read(self, stored: Stored, person_id: str) -> None:
        self._ports.records.append(read_by(stored.asked, person_id))

    def _person_of(self, subject: str) -> str | None:
        entry = self._ports.people.person_of(subject)
        return entry.person.id if entry else None

    def _nobody_told(self, request_id: str, fault: str) -> None:
        self._logger.error("nobody was told of a request", request=request_id, fault=fault)
        self._keep(RecordType.NOTICE_FAILED, request=request_id, reason=f"queue: {fault}")

    def _not_told(self, failure: Failure) -> None:
        self._logger.warning("a notice was given up", request=failure.request_id, channel=failure.channel)
        self._keep(RecordType.NOTICE_FAILED, request=failure.request_id, person=failure.recipient,
                   reason=failure_reason(failure))  # fmt: skip

    def _poisoned(self, queue: str, message_id: str, problem: str) -> None:
        reason = f"Message {message_id} in queue {queue}: {problem}"
        self._keep(RecordType.ALARM, outcome="poisoned_message", reason=reason[:512])

    def _keep(self, kind: RecordType, **fields: str) -> None:
        try:
            self._ports.records.append(note(kind, **fields))
        except TwokeysError as error:
            # What it tells of happened all the same; the log has it.
            self._logger.error("a record was not written", fault=error.code)

    def _seconds(self) -> float:
        return self._clock.now() / 1000


def _over_after(seconds: float) -> Callable[[], bool]:
    ends = time.monotonic() + seconds
    return lambda: time.monotonic() > ends
