"""An Edge in a process of its own for `rows`: with the policies that are wanted, pure or not, with TLS or without.

It is the real listener, session, masks and journal; the control plane is a scripted one, as no write is asked for.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from types import SimpleNamespace
from typing import Final, NamedTuple, cast

import uvloop

from edge_agent.native import compiled
from tests.edge_agent.net.edge_in_process import CALLER, PASSWORD, edge_in_process
from tests.support.postgres import RealPostgres

START_SECONDS: Final = 60
MASKING: Final = """
@id("mail") @columns("shop.bench_rows.email") @form("partial")
permit (principal in Group::"support", action == Action::"reveal", resource == DataClass::"pii.email");
"""


class Plan(NamedTuple):
    """What an Edge needs: its policies, the server and its role there, and the files of its certificate."""

    policies: str
    port: int
    user: str
    password: str
    database: str
    cert_file: Path
    key_file: Path


class EdgeProcess(NamedTuple):
    """A running one. `compiled`: it has the compiled module."""

    port: int
    pid: int
    compiled: bool
    user: str = CALLER.id
    password: str = PASSWORD


@contextmanager
def edge_process(folder: Path, plan: Plan, *, pure: bool) -> Iterator[EdgeProcess]:
    """Start one, and end it."""
    spawn = multiprocessing.get_context("spawn")
    answer, said = spawn.Pipe()
    child = spawn.Process(target=_serve, args=(said, folder, plan), daemon=True)
    before = os.environ.pop("TWOKEYS_PURE", None)
    if pure:
        os.environ["TWOKEYS_PURE"] = "1"
    try:
        child.start()
    finally:
        os.environ.pop("TWOKEYS_PURE", None)
        if before is not None:
            os.environ["TWOKEYS_PURE"] = before
    try:
        if not answer.poll(START_SECONDS):
            raise RuntimeError("an Edge did not start")
        port, native = answer.recv()
        yield EdgeProcess(port, child.pid or 0, native)
    finally:
        child.terminate()
        child.join()


def _serve(said: Connection, folder: Path, plan: Plan) -> None:
    """Run an Edge in this process until it is ended."""
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    server = SimpleNamespace(port=plan.port, user=plan.user, password=plan.password, database=plan.database)
    with (
        tempfile.TemporaryDirectory(dir=folder) as own,
        edge_in_process(
            Path(own), cast(RealPostgres, server), plan.policies, tls_cert_file=plan.cert_file,
            tls_key_file=plan.key_file, catalogue_seconds=0,
        ) as edge,
    ):  # fmt: skip
        said.send((edge.port, compiled is not None))
        while True:
            time.sleep(60)
