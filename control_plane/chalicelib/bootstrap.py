"""Where ports meet services and routes.

Ports ──services──▶ Services ──assemble──▶ the Chalice application
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.metrics import MetricUnit
from chalice.app import Blueprint, Chalice, ConvertToMiddleware, Response

from twokeys.edge_call import TIME_HEADER
from twokeys.errors import Refused

from .ports.blobs import Blobs
from .ports.clock import Clock
from .ports.edges import Edges
from .ports.oidc import OidcClient
from .ports.people import People
from .ports.policies import Policies
from .ports.recordings import Recordings
from .ports.records import Records
from .ports.requests import Requests, Stored
from .ports.session_keys import SessionKeys
from .ports.signer import Signer
from .ports.wake_access import WakeAccess
from .ports.waker import Waker
from .ports.workflow import Workflow
from .ports.wrapping import Wrapping
from .routes import audit, discovery, edge_list, edges, grants, health, issuers, people, policies, requests, wake_access
from .services.alarms import Alarms
from .services.bodies import Bodies
from .services.bundles import Bundles
from .services.credentials import Credentials
from .services.decisions import Decisions
from .services.edge_auth import EdgeAuth
from .services.eligibility import Eligibility
from .services.enrolment import Enrolment
from .services.erasing import Erasing
from .services.facts import RequestFacts
from .services.grants import Drawing, Grants
from .services.grants import Ports as GrantPorts
from .services.issuers import Issuers
from .services.limits import Limits
from .services.own_segments import OwnSegments
from .services.people import Registry
from .services.people_auth import PeopleAuth
from .services.policies import PolicyChanges
from .services.policy_facts import CurrentPolicy
from .services.requests import EdgeRequests
from .services.requests import Ports as RequestPorts
from .services.results import Results
from .services.revocation import Revocation
from .services.seals import Seals
from .services.spend import Spends
from .services.timeouts import Timeouts


@dataclass(frozen=True, slots=True)
class Ports:
    """Everything outside."""

    clock: Clock
    requests: Requests
    people: People
    policies: Policies
    edges: Edges
    records: Records
    workflow: Workflow
    waker: Waker
    blobs: Blobs
    recordings: Recordings
    session_keys: SessionKeys
    signer: Signer
    wrapping: Wrapping
    wake_access: WakeAccess | None = None


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that is done, wired to one set of Ports."""

    ports: Ports
    requests: EdgeRequests
    grants: Grants
    decisions: Decisions
    spends: Spends
    results: Results
    timeouts: Timeouts
    facts: RequestFacts
    edge_auth: EdgeAuth
    enrolment: Enrolment
    revocation: Revocation
    bundles: Bundles
    policies: PolicyChanges
    registry: Registry
    issuers: Issuers
    credentials: Credentials
    seals: Seals
    own_segments: OwnSegments
    bodies: Bodies
    erasing: Erasing


def services(ports: Ports, limits: Limits, opened: Callable[[Stored], object]) -> Services:
    """Wire the services; `opened` is told of each new Request, and neither raises nor waits."""
    policy = CurrentPolicy(ports.policies)
    alarms = Alarms(ports.records, ports.clock)
    eligibility = Eligibility(ports.people, policy, ports.clock, limits)
    for_opening = RequestPorts(ports.requests, ports.blobs, ports.people, ports.workflow, ports.clock)
    for_grants = GrantPorts(ports.requests, ports.blobs, ports.people, ports.edges, ports.workflow)
    drawing = Drawing(ports.requests, ports.people, policy, eligibility, limits)
    seals = Seals(ports.recordings, ports.edges, ports.signer, ports.clock, alarms)
    return Services(
        ports=ports,
        requests=EdgeRequests(for_opening, policy, eligibility, limits, opened, drawing.draw),
        grants=Grants(for_grants, policy, eligibility, limits, opened),
        decisions=Decisions(ports.requests, ports.workflow, ports.waker, eligibility, limits, alarms),
        spends=Spends(ports.requests, ports.signer, ports.workflow, limits),
        results=Results(ports.requests, ports.workflow, eligibility, ports.clock),
        timeouts=Timeouts(ports.requests, ports.workflow, ports.waker),
        facts=RequestFacts(ports.requests, ports.blobs, ports.records, eligibility, ports.clock),
        edge_auth=EdgeAuth(ports.edges, ports.clock, alarms),
        enrolment=Enrolment(ports.edges, ports.signer, ports.clock, alarms, limits),
        revocation=Revocation(ports.edges, ports.requests, ports.workflow, ports.wake_access),
        bundles=Bundles(ports.edges, ports.people, ports.policies, ports.signer, ports.wrapping, ports.clock, limits),
        policies=PolicyChanges(ports.policies, ports.people, ports.clock, limits),
        registry=Registry(ports.people),
        issuers=Issuers(ports.people),
        credentials=Credentials(ports.people),
        seals=seals,
        own_segments=OwnSegments(ports.records, ports.recordings, seals),
        bodies=Bodies(ports.recordings, ports.session_keys, ports.wrapping, ports.records),
        erasing=Erasing(ports.session_keys, ports.recordings),
    )


def assemble(wired: Services, issuer: OidcClient, pages: Sequence[Blueprint], *, on_lambda: bool) -> Chalice:
    """The application.

    Args:
        wired: The services.
        issuer: Whose tokens people bring.
        pages: Routes of the backend's own, for people.
        on_lambda: Whether one process answers one request at a time: only then may the logger keep a request's keys.
    """
    app = Chalice(app_name="twokeys")
    ports = wired.ports
    auth, who = wired.edge_auth, PeopleAuth(issuer, ports.people, ports.clock)
    for routes in (
        edges.blueprint(auth, who, wired.enrolment, wired.bundles, ports.waker, ports.recordings),
        edge_list.blueprint(who, wired.revocation),
        wake_access.blueprint(auth, ports.wake_access, ports.clock),
        requests.edge_blueprint(auth, wired.requests, wired.spends, wired.results),
        requests.people_blueprint(who, wired.facts, wired.decisions, wired.results),
        grants.blueprint(who, wired.grants),
        policies.blueprint(who, wired.policies),
        people.blueprint(who, wired.registry, wired.credentials),
        issuers.blueprint(who, wired.issuers),
        audit.blueprint(auth, who, wired.seals, wired.bodies, wired.erasing),
        health.blueprint(ports.edges),
        discovery.blueprint(issuer),
        *pages,
    ):
        app.register_blueprint(routes)
    app.register_middleware(_with_time(ports.clock), "http")
    if on_lambda:
        _observe(app)
    return app


def build() -> Chalice:
    """The application on Lambda, as its environment says.

    Raises:
        Refused: when the environment is incomplete, or the embedded adapters lie beside this file: Chalice would
            pack the embedded issuer too.
    """
    if (Path(__file__).parent / "adapters" / "embedded").exists():
        raise Refused(
            "This folder holds the embedded adapters, and Chalice would pack them.",
            not_done="Nothing was started or packed.",
            advice="Run `python -m control_plane.aws project`, and chalice in build/lambda.",
            code="not_the_project",
        )
    # Here alone: what runs elsewhere needs no AWS.
    from .adapters.aws.deployment import build_app

    return build_app(os.environ)


def _with_time(clock: Clock) -> Callable[[Any, Callable[[Any], Response]], Response]:
    def add_time(event: Any, get_response: Callable[[Any], Response]) -> Response:
        response = get_response(event)
        response.headers[TIME_HEADER] = str(clock.now())
        return response

    return add_time


def _observe(app: Chalice) -> None:
    """Structured logs, metrics and traces of Lambda. None of them sees a body: events are not logged."""
    # Not the application's own name: Chalice has a logger of that name, with another format.
    logger = Logger(service="twokeys-control")
    # Calls of AWS are traced; patching whatever else can be would import it first.
    tracer = Tracer(service="twokeys", patch_modules=["botocore"])
    metrics = Metrics(namespace="Twokeys", service="twokeys")
    app.register_middleware(ConvertToMiddleware(logger.inject_lambda_context(log_event=False, clear_state=True)))
    app.register_middleware(ConvertToMiddleware(metrics.log_metrics(capture_cold_start_metric=True)))
    app.register_middleware(
        ConvertToMiddleware(tracer.capture_lambda_handler(capture_response=False, capture_error=False))
    )

    def count(event: Any, get_response: Callable[[Any], Response]) -> Response:
        response = get_response(event)
        metrics.add_metric(name=f"Answers{response.status_code // 100}xx", unit=MetricUnit.Count, value=1)
        return response

    app.register_middleware(count, "http")
