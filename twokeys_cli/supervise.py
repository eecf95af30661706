"""Run a few processes as one: started in order, restarted when they crash, stopped in the opposite order.

    start(plan) ─▶ ready? ─▶ … watch() ─▶ a Child ended ─▶ restart after a pause, or stop all with its log's end
                                      └▶ SIGINT, SIGTERM ─▶ stop() in the opposite order

Children have sessions of their own, so that Ctrl-C reaches only us; no standard input; and on Linux they are told to
stop when we die (prctl PR_SET_PDEATHSIG), whatever kills us.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

from twokeys.errors import Unavailable

LOOK_SECONDS = 0.02
"""Between two looks whether a starting Child is ready; the end of a Child or a signal ends the wait early."""
WATCH_SECONDS = 1.0
"""Longest wait between two looks at running Children: the bound on what a lost signal can cost."""
LOG_TAIL_BYTES = 1500
"""How much of a Child's log an error message shows."""

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class Stopped(Exception):
    """A person or the system asked for an end."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How patient the supervisor is.

    Args:
        ready_seconds: From a Child's start to its readiness.
        stop_seconds: From a Child's stop signal to its end; then it is killed.
        first_pause_seconds: Before a crashed Child's first restart; doubled for each further one.
        longest_pause_seconds: The pause's bound.
        crashes: So many within `crash_window_seconds` stop everything.
        crash_window_seconds: See `crashes`.
        once_seconds: For a command that runs to its end.
    """

    ready_seconds: float = 30.0
    stop_seconds: float = 15.0
    first_pause_seconds: float = 0.25
    longest_pause_seconds: float = 10.0
    crashes: int = 6
    crash_window_seconds: float = 60.0
    once_seconds: float = 60.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run as one Child.

    Args:
        name: What messages call it.
        command: The program and its arguments; never a secret.
        log: Where its output goes, appended.
        cwd: Its working directory.
        ready: Called with its process id: whether it serves now. Quick, and asks from outside.
        environment: All of its environment.
        uid: User and group id; None: ours.
        stop_signal: What asks it for a clean end.
    """

    name: str
    command: Sequence[str]
    log: Path
    cwd: Path
    ready: Callable[[int], bool]
    environment: Mapping[str, str]
    uid: int | None = None
    stop_signal: signal.Signals = signal.SIGTERM


@dataclass(slots=True)
class Child:
    """One running Plan, and when it crashed."""

    plan: Plan
    process: subprocess.Popen[bytes]
    crashes: list[float] = field(default_factory=list)
    restart_at: float | None = None


class Supervisor:
    """Runs Children; a context manager that stops them all on every way out.

    Only in the main thread of a process: it takes SIGINT, SIGTERM and SIGCHLD.
    """

    def __init__(self, limits: Limits | None = None, say: Callable[[str], None] = print) -> None:
        self.limits = limits or Limits()
        self.say = say
        self.children: list[Child] = []
        self._asked: signal.Signals | None = None

    def __enter__(self) -> Self:
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._old_fd = signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        self._old = {
            signum: signal.signal(signum, self._signalled)
            for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)
        }
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
        finally:
            for signum, handler in self._old.items():
                signal.signal(signum, handler)
            signal.set_wakeup_fd(self._old_fd)
            os.close(self._wake_read)
            os.close(self._wake_write)

    def start(self, plan: Plan) -> Child:
        """Start one Child and wait until it is ready.

        Raises:
            Unavailable: It ended or was not ready in time; the message has the end of its log.
            Stopped: We were told to stop meanwhile.
        """
        child = Child(plan, self._spawn(plan))
        self.children.append(child)
        self._await_ready(child)
        return child

    def run_once(self, plan: Plan) -> str:
        """Run a command to its end, its standard error to the Plan's log; `ready` is not asked.

        Returns:
            Its standard output.

        Raises:
            Unavailable: It failed or took too long; the message has the end of its log.
        """
        process = self._spawn(plan, stdout=subprocess.PIPE)
        try:
            said, _ = process.communicate(timeout=self.limits.once_seconds)
        except subprocess.TimeoutExpired as error:
            raise self._failed(plan, f"{plan.name} took longer than {self.limits.once_seconds:.0f} s") from error
        finally:
            if process.poll() is None:
                process.kill()
                process.communicate()
        if process.returncode != 0:
            raise self._failed(plan, f"{plan.name} failed ({_ending(process.returncode)})", code="command_failed")
        self._check_asked()
        return said.decode()

    def watch(self) -> None:
        """Keep the Children running until we are told to stop.

        Raises:
            Unavailable: One crashed too often; the message has the end of its log.
        """
        while self._asked is None:
            for child in self.children:
                self._look_after(child)
            pending = [child.restart_at for child in self.children if child.restart_at is not None]
            self._wait(max(0.0, min([*pending, time.monotonic() + WATCH_SECONDS]) - time.monotonic()))

    def stop(self) -> None:
        """Stop all Children, the last started first; each has ended before the next is asked."""
        for child in reversed(self.children):
            if child.process.poll() is not None:
                continue
            child.process.send_signal(child.plan.stop_signal)
            try:
                child.process.wait(self.limits.stop_seconds)
            except subprocess.TimeoutExpired:
                self.say(f"{child.plan.name} did not stop within {self.limits.stop_seconds:.0f} s and was killed.")
                child.process.kill()
                child.process.wait()
        self.children.clear()

    def _look_after(self, child: Child) -> None:
        now = time.monotonic()
        if child.restart_at is not None:
            if now < child.restart_at:
                return
            child.restart_at = None
            child.process = self._spawn(child.plan)
            try:
                self._await_ready(child)
            except Unavailable:
                # It counts as one more crash, below; a Child that hangs is ended first.
                child.process.kill()
                child.process.wait()
            else:
                self.say(f"{child.plan.name} runs again.")
        code = child.process.poll()
        if code is None:
            return
        window = now - self.limits.crash_window_seconds
        child.crashes = [*(crash for crash in child.crashes if crash > window), now]
        if len(child.crashes) >= self.limits.crashes:
            raise self._failed(child.plan, f"{child.plan.name} crashed {len(child.crashes)} times", code="crash_loop")
        pause = self.limits.first_pause_seconds * 2 ** (len(child.crashes) - 1)
        pause = min(pause, self.limits.longest_pause_seconds)
        child.restart_at = time.monotonic() + pause
        self.say(f"{child.plan.name} ended ({_ending(code)}); starting it again in {pause:.2g} s. See {child.plan.log}")

    def _await_ready(self, child: Child) -> None:
        deadline = time.monotonic() + self.limits.ready_seconds
        while not child.plan.ready(child.process.pid):
            self._check_asked()
            code = child.process.poll()
            if code is not None:
                raise self._failed(child.plan, f"{child.plan.name} ended while starting ({_ending(code)})")
            if time.monotonic() > deadline:
                raise self._failed(
                    child.plan, f"{child.plan.name} was not ready after {self.limits.ready_seconds:.0f} s"
                )
            self._wait(LOOK_SECONDS)

    def _failed(self, plan: Plan, happened: str, code: str = "child_failed") -> Unavailable:
        return Unavailable(
            f"{happened}. Its log ends:\n{log_tail(plan.log)}",
            not_done="Everything was stopped.",
            advice=f"See {plan.log}",
            code=code,
        )

    def _spawn(self, plan: Plan, stdout: int | None = None) -> subprocess.Popen[bytes]:
        with plan.log.open("ab") as log:
            return subprocess.Popen(  # noqa: S603
                plan.command,
                stdin=subprocess.DEVNULL,
                stdout=log if stdout is None else stdout,
                stderr=log,
                cwd=plan.cwd,
                env=dict(plan.environment),
                start_new_session=True,
                user=plan.uid,
                group=plan.uid,
                extra_groups=None if plan.uid is None else [],
                umask=0o077,
                # Safe here: this process has one thread. The user id is set before, which would clear the order.
                preexec_fn=_die_with_parent(plan.stop_signal),
            )

    def _wait(self, seconds: float) -> None:
        """Until a signal (a Child's end is one) or for `seconds`."""
        if self._asked is None and select.select([self._wake_read], [], [], seconds)[0]:
            while _drain(self._wake_read):
                pass

    def _signalled(self, signum: int, _frame: FrameType | None) -> None:
        if signum != signal.SIGCHLD:
            self._asked = signal.Signals(signum)

    def _check_asked(self) -> None:
        if self._asked is not None:
            raise Stopped(self._asked.name)


def log_tail(log: Path) -> str:
    """The last lines of a log, at most `LOG_TAIL_BYTES`."""
    try:
        return log.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace").strip()
    except OSError:
        return "(no log)"


def _ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name


def _drain(fd: int) -> bool:
    try:
        return bool(os.read(fd, 4096))
    except BlockingIOError:
        return False


def _die_with_parent(signum: signal.Signals) -> Callable[[], None] | None:
    if _libc is None:
        return None
    parent, libc = os.getpid(), _libc

    def order() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, int(signum))
        if os.getppid() != parent:
            os._exit(1)

    return order
