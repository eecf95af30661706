"""`python -m edge_agent`: enrol an Edge once, then run it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from edge_agent import runtime
from edge_agent.config import EdgeConfig, load, parse, read
from edge_agent.control.enrolment import enrol as enrol_edge
from edge_agent.control.identity import StateFolder
from edge_agent.log import say_always
from edge_agent.net.http import ControlHttp
from edge_agent.secret import Secret
from edge_agent.serving import take_seat
from edge_agent.workers.messages import Begin
from twokeys.errors import TwokeysError

T = TypeVar("T")

SWITCH_SECONDS: Final = 0.0005
"""How long the thread that packs recordings may keep the interpreter while sessions wait (Python's own: 5 ms)."""

CONFIG = click.option(
    "--config", "path", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The Edge's TOML file."
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """The Edge: stands beside a database, lets reads pass, and holds writes."""


@main.command()
@CONFIG
@click.option("--token", required=True, help="The one-time token that the control plane made for this Edge.")
def enrol(path: Path, token: str) -> None:
    """Register this Edge at its control plane, once. Its private key is made here and never leaves."""
    config = _load(path)

    async def work() -> str:
        http = ControlHttp(config.control.url, config.control.ca_file, config.control.connect_seconds)
        try:
            return await enrol_edge(StateFolder(config.edge.state_dir), http, Secret(token), expected_id=config.edge.id)
        finally:
            await http.close()

    click.echo(f"enrolled as {_or_exit(work())}")


@main.command()
@CONFIG
def run(path: Path) -> None:
    """Run this Edge until it is told to stop (SIGTERM or Ctrl-C)."""
    text = _or_exit_with(lambda: read(path))
    config = _or_exit_with(lambda: parse(text, path.name, path.resolve().parent, os.environ))
    decoys = [secrets.token_bytes(32) for _ in config.postgres]
    begin = Begin(text, path.name, str(path.resolve().parent), decoys) if config.edge.workers > 1 else None

    async def work() -> str:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        await runtime.run(config, stop, lambda text: print(text, flush=True), begin)
        return ""

    _or_exit(work())


@main.command(hidden=True)
@click.option("--number", type=int, required=True)
@click.option("--link", type=int, required=True)
@click.option("--door", type=int, required=True)
def worker(number: int, link: int, door: int) -> None:
    """Be a worker of an Edge. The Edge starts it, with sockets that nobody else has."""
    say_always(worker=number)

    async def work() -> str:
        seat = await take_seat(number, socket.socket(fileno=link), socket.socket(fileno=door))
        begin = seat.begin
        config = parse(begin.text, begin.name, Path(begin.folder), os.environ)
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, seat.stop.set)
        # Ctrl-C reaches every process of a terminal; the supervisor ends its workers in order.
        loop.add_signal_handler(signal.SIGINT, lambda: None)
        try:
            await runtime.run(config, seat.stop, lambda text: None, seat=seat)
        finally:
            seat.leave()
        return ""

    _or_exit(work())


def _load(path: Path) -> EdgeConfig:
    return _or_exit_with(lambda: load(path, os.environ))


def _or_exit_with(make: Callable[[], T]) -> T:
    try:
        return make()
    except TwokeysError as error:
        raise SystemExit(_said(error)) from None


def _or_exit(work: Coroutine[Any, Any, str]) -> str:
    sys.setswitchinterval(SWITCH_SECONDS)
    runner: Callable[[Coroutine[Any, Any, str]], str] = asyncio.run
    with contextlib.suppress(ImportError):
        import uvloop

        runner = uvloop.run
    try:
        return runner(work)
    except TwokeysError as error:
        raise SystemExit(_said(error)) from None


def _said(error: TwokeysError) -> str:
    return f"edge: {error}"


if __name__ == "__main__":
    main()
