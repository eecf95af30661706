"""`twokeys demo`: a deployment of its own, the whole story with a real psql and the real page, and its evidence."""

from __future__ import annotations

import contextlib
import gzip
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from twokeys.errors import TwokeysError, Unavailable
from twokeys_cli import parts
from twokeys_cli.deploy import Deployment, Wanted
from twokeys_cli.page import Browser, Page
from twokeys_cli.postgres import wheel_binaries
from twokeys_cli.state import hold
from twokeys_cli.story import STORY, Approve, Deny, Read, Silence, Write
from twokeys_cli.supervise import Stopped, Supervisor

HOLD_SECONDS = 8
"""How long a write waits in the story: enough to answer, little to wait for the one that nobody answers."""
ANSWER_SECONDS = 30.0
"""Longest wait for psql after its write was decided or its time is over."""
EVIDENCE_SECONDS = 40.0
"""Longest wait until the last records are sealed and in the auditor's tables."""
LOOK_SECONDS = 0.1
"""Between two looks at the page or the records."""

REVIEWER = "rob"

AUDITORS_QUESTION = """
SELECT request, any_value(statement) AS statement, any_value(person) AS person,
       list(DISTINCT outcome) FILTER (outcome IS NOT NULL) AS outcomes
FROM records WHERE request IS NOT NULL GROUP BY request ORDER BY min(time)
"""


@click.command()
@click.option("--state", type=click.Path(path_type=Path), help="Keep everything in this new folder.")
def demo(state: Path | None) -> None:
    """Play the whole story unattended: exit status 0 means that all of it came out as told.

    A read passes; three writes wait: one is approved through the page and applied, one is denied with a reason, one
    that nobody answers expires; the auditor's SQL lists all three; the evidence verifies, and no longer does after a
    byte is changed.
    """
    tuning = parts.Tuning(
        hold_seconds=HOLD_SECONDS, in_transaction_hold_seconds=HOLD_SECONDS, heartbeat_seconds=2, segment_seconds=1
    )
    wanted = Wanted(control_port=0, edge_port=0, tuning=tuning)
    began = time.monotonic()
    with _folder(state) as path, hold(path) as folder, Supervisor(say=_note) as supervisor:
        deployment = Deployment(folder, supervisor, wanted, _note)
        if not deployment.first:
            raise click.UsageError("--state names a folder that was used before; the story wants a new one.")
        try:
            deployment.bring_up()
            _told(f"Control plane, Edge and PostgreSQL run, after {time.monotonic() - began:.1f} s")
            Play(deployment).run()
        except Stopped:
            sys.exit("Stopped before the end.")
        except TwokeysError:
            for log in sorted(folder.logs.glob("*.log")):
                click.echo(f"--- the end of {log.name}\n{log.read_text(errors='replace')[-1500:]}", err=True)
            raise
    _told(f"The whole story took {time.monotonic() - began:.0f} s", last=True)


@dataclass(slots=True)
class Asked:
    """A write under way: the caller's psql."""

    step: Write
    psql: subprocess.Popen[str]


class Play:
    """Plays the story on a running deployment."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.browser = Browser(deployment.parts.public_url)
        self.seen: set[str] = set()

    def run(self) -> None:
        """All of it.

        Raises:
            Unavailable: Something came out differently; the message says what.
        """
        passphrase = next(person.passphrase for person in self.deployment.kept.unshown if person.id == REVIEWER)
        self.browser.sign_in(REVIEWER, passphrase)
        _told(f"The reviewer {REVIEWER} is signed in at {self.deployment.parts.public_url}")
        for step in STORY:
            match step:
                case Read(about, sql, answer):
                    _expect(self._read(sql), answer, about)
                    _told(about, sql)
                case Write():
                    self._write(step)
        self._evidence()

    def _write(self, step: Write) -> None:
        asked = Asked(step, self._psql(step.sql))
        with _ended(asked.psql):
            page = self._held(asked)
            match step.answer:
                case Approve():
                    self._decide(page, "approve", "")
                case Deny(reason):
                    self._decide(page, "deny", reason)
                case Silence():
                    pass
            said, _ = asked.psql.communicate(timeout=HOLD_SECONDS + ANSWER_SECONDS)
        if step.caller_sees not in said:
            raise _other(step.about, step.caller_sees, said)
        _expect(self._read(step.check[0]), step.check[1], step.about)
        error = next((line for line in said.splitlines() if "ERROR" in line), step.caller_sees)
        _told(step.about, f"{step.sql}\n{error}")

    def _held(self, asked: Asked) -> Page:
        """Wait until the list of requests shows a new one, and open it."""
        while asked.psql.poll() is None:
            links = {link for link in self.browser.get("/").links if link.startswith("/r/")} - self.seen
            for link in links:
                self.seen.add(link)
                page = self.browser.get(link)
                if page.shows(asked.step.sql):
                    return page
            with contextlib.suppress(subprocess.TimeoutExpired):
                asked.psql.wait(LOOK_SECONDS)
        said, _ = asked.psql.communicate()
        raise _other(asked.step.about, "a write that waits, shown word for word on its page", said)

    def _decide(self, page: Page, verdict: str, reason: str) -> None:
        form = page.form("command_digest")
        done = self.browser.submit(page, form, {"verdict": verdict, "reason": reason})
        if done.status >= 400:
            raise _other("the decision on the page", "a decision", done.text)

    def _read(self, sql: str) -> str:
        psql = self._psql(sql)
        with _ended(psql):
            said, _ = psql.communicate(timeout=ANSWER_SECONDS)
        return said.strip()

    def _psql(self, sql: str) -> subprocess.Popen[str]:
        """The caller: a real psql, which knows nothing of Twokeys but a host, a port and a credential."""
        deployment, caller = self.deployment, self.deployment.caller
        dsn = (
            f"host=127.0.0.1 port={deployment.kept.edge_port} user={caller.name} dbname={deployment.upstream.database}"
        )
        return subprocess.Popen(  # noqa: S603
            [wheel_binaries().program("psql"), "-X", "-A", "-t", "-c", sql, dsn],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**parts.environment(), "PGPASSWORD": caller.password},
        )

    def _evidence(self) -> None:
        state = self.deployment.folder.path
        rows = self._until_listed(state)
        about = "The auditor's SQL lists all three writes"
        _told(about, "\n".join(f"{', '.join(sorted(row['outcomes'])):<38} {row['statement']}" for row in rows))
        whole = audit("verify", "--state", str(state))
        if whole.returncode != 0:
            raise _other("twokeys audit verify", "a whole chain", whole.stdout)
        _told("`twokeys audit verify` says that the chain is whole")
        with tempfile.TemporaryDirectory() as copy:
            changed = shutil.copytree(state / "control" / "recordings", Path(copy) / "recordings")
            at = change_one_byte(changed)
            broken = audit("verify", "--folder", str(changed))
        if broken.returncode != 1 or at.name.removesuffix(".jsonl.gz") not in broken.stdout:
            raise _other("twokeys audit verify of a changed copy", f"exit status 1, and {at.name} named", broken.stdout)
        _told("After one byte was changed in a copy, it says where", broken.stdout)

    def _until_listed(self, state: Path) -> list[dict[str, list[str]]]:
        """Ask the auditor's question until the records of all writes are in the tables."""
        wanted = [step.outcomes for step in STORY if isinstance(step, Write)]
        deadline = time.monotonic() + EVIDENCE_SECONDS
        while True:
            asked = audit("query", "--state", str(state), "--format", "json", AUDITORS_QUESTION)
            rows: list[dict[str, list[str]]] = json.loads(asked.stdout) if asked.returncode == 0 else []
            if len(rows) == len(wanted) and all(
                outcomes <= set(row["outcomes"]) for outcomes, row in zip(wanted, rows, strict=True)
            ):
                return rows
            if time.monotonic() > deadline:
                raise _other("the auditor's SQL", f"the outcomes {wanted}", asked.stdout)


def audit(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `twokeys audit …` as a person would."""
    return subprocess.run(  # noqa: S603
        [sys.executable, "-P", "-m", "twokeys_cli.main", "audit", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**parts.environment(), "COLUMNS": "120"},
        check=False,
        timeout=EVIDENCE_SECONDS,
    )


def change_one_byte(recordings: Path) -> Path:
    """Change one byte in the middle of the largest Segment's lines, and return its file."""
    lines = max((recordings / "lines").rglob("*.jsonl.gz"), key=lambda path: (path.stat().st_size, path.name))
    data = bytearray(gzip.decompress(lines.read_bytes()))
    data[len(data) // 2] ^= 1
    lines.chmod(0o600)
    lines.write_bytes(gzip.compress(bytes(data)))
    return lines


@contextlib.contextmanager
def _folder(state: Path | None) -> Iterator[Path]:
    if state is not None:
        yield state
        return
    made = Path(tempfile.mkdtemp(prefix="twokeys-demo-"))
    made.chmod(0o711)
    try:
        yield made / "state"
    finally:
        shutil.rmtree(made, ignore_errors=True)


@contextlib.contextmanager
def _ended(psql: subprocess.Popen[str]) -> Iterator[None]:
    try:
        with psql:
            yield
    except subprocess.TimeoutExpired as error:
        raise Unavailable("psql got no answer in time.", code="no_answer") from error
    finally:
        psql.kill()


def _expect(said: str, wanted: str, about: str) -> None:
    if said != wanted:
        raise _other(about, wanted, said)


def _other(about: str, wanted: str, said: str) -> Unavailable:
    return Unavailable(
        f"{about}: wanted {wanted!r}, and got {said.strip()[-1500:]!r}",
        advice="See the logs above.",
        code="story_broken",
    )


def _told(about: str, detail: str = "", *, last: bool = False) -> None:
    click.echo(click.style("✓ ", fg="green", bold=True) + click.style(about, bold=last or bool(detail)))
    for line in detail.strip().splitlines():
        click.echo(f"    {line}")


def _note(text: str) -> None:
    click.echo(text, err=True)
