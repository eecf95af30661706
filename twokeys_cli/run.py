"""`twokeys run`: run a file of statements through an Edge. Reviewers are asked once, about the whole of it."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

import click

from edge_agent.config import is_loopback
from twokeys.errors import InvalidInput, Refused, Unavailable
from twokeys_cli.migration import Migration, Step, read_migration
from twokeys_cli.output import plain
from twokeys_cli.proof import read_proof
from twokeys_cli.wire import Answer, PostgresSession, Where


@click.command()
@click.option("-f", "--file", "path", type=click.Path(path_type=Path), required=True, help="SQL, UTF-8.")
@click.option("--host", envvar="PGHOST", default="127.0.0.1", show_default=True, help="The Edge's address.")
@click.option("--port", envvar="PGPORT", type=click.IntRange(1, 65535), default=6432, show_default=True)
@click.option("--user", envvar="PGUSER", required=True, help="The caller's id. PGPASSWORD has its credential.")
@click.option("--password-file", type=click.Path(path_type=Path), help="Has the credential as its first line.")
@click.option("--token-file", type=click.Path(path_type=Path), help="Has an OIDC token instead; or: TWOKEYS_TOKEN.")
@click.option("--database", envvar="PGDATABASE", default="", help="Default: the target's.")
@click.option("--ca-file", envvar="PGSSLROOTCERT", type=click.Path(path_type=Path), help="CA to trust for the Edge.")
@click.option("--plain", "no_tls", is_flag=True, help="Without TLS; to this machine alone.")
@click.option(
    "--single-transaction/--each", "whole", default=True, show_default=True,
    help="All or nothing, asked about once; or statement by statement, each asked about and kept by itself.",
)  # fmt: skip
def run(
    path: Path, host: str, port: int, user: str, password_file: Path | None, token_file: Path | None, database: str,
    ca_file: Path | None, no_tls: bool, whole: bool,
) -> None:  # fmt: skip
    """Run a file of SQL through an Edge, as a caller.

    The whole file is one command: reviewers see all of it, its statements numbered, and approve these very bytes. It
    runs in one transaction. What can't run in one (CREATE INDEX CONCURRENTLY, VACUUM) is named before anything is
    sent; --each runs such files, statement by statement. It ends at the first error and says what was applied.
    Nothing is ever resumed by itself.

    \b
      PGPASSWORD=… twokeys run -f migration.sql --host db-edge.example.com --user ci-deploy
    \b
    Exit codes: 0 all of it was applied; 1 not all of it, and what was is said; 2 wrong options;
    3 the connection was lost, and what became of the statement under way is not known here.
    """
    migration = read_migration(path)
    if whole and migration.alone:
        told = ", ".join(f"{step.number} ({plain(step.brief)})" for step in migration.alone)
        raise InvalidInput(
            f"{path.name} has statements that can't run in a transaction: {told}.", not_done="Nothing was sent.",
            advice="Put them into a file of their own, or run this one with --each.", code="not_transactional",
        )  # fmt: skip
    proof = read_proof(password_file, token_file, os.environ)
    tls = _tls(host, ca_file, no_tls)
    click.echo(
        f"{path.name}: {len(migration.steps)} statements, {len(migration.text)} bytes, SHA-256 {migration.digest}"
    )
    with PostgresSession(Where(host, port, user, proof, database, tls), _tell) as session:
        if whole:
            _run_whole(session, migration)
        else:
            _run_each(session, migration)


def _tls(host: str, ca_file: Path | None, no_tls: bool) -> ssl.SSLContext | None:
    if not no_tls:
        return ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    if not is_loopback(host):
        raise Refused(f"{host} is another machine: it is not spoken to without TLS.", not_done="Nothing was sent.")
    return None


def _run_whole(session: PostgresSession, migration: Migration) -> None:
    answer = session.query(migration.text)
    if answer.error:
        position = answer.error.get("P", "")
        step = migration.step_at(int(position)) if position.isdecimal() and len(position) < 10 else None
        if step is None and not _is_ours(answer) and len(answer.tags) < len(migration.steps):
            step = migration.steps[len(answer.tags)]
        raise _failed(answer, step, "Nothing of the file was applied.")
    click.echo(f"Applied, in one transaction: {', '.join(plain(tag) for tag in answer.tags)}.")


def _run_each(session: PostgresSession, migration: Migration) -> None:
    rows = 0
    for step in migration.steps:
        applied = step.number - 1
        _tell(f"{step.number} of {len(migration.steps)}: {step.brief} …")
        try:
            answer = session.query(step.text)
        except Unavailable as lost:
            raise Unavailable(f"{lost.happened} It happened in statement {step.number} ({plain(step.brief)}).",
                              not_done=_applied(applied, migration, f"Statement {step.number} is in doubt. "),
                              advice=lost.advice, code=lost.code) from lost  # fmt: skip
        if answer.error:
            raise _failed(answer, step, _applied(applied, migration))
        click.echo(f"{step.number} of {len(migration.steps)}: {', '.join(plain(tag) for tag in answer.tags)}")
        rows += sum(_changed(tag) for tag in answer.tags)
    click.echo(f"Applied, each statement by itself: {len(migration.steps)} statements, {rows} rows changed.")


def _changed(tag: str) -> int:
    """Rows that a command tag says were changed."""
    verb, _, count = tag.rpartition(" ")
    return int(count) if not verb.startswith(("SELECT", "FETCH")) and count.isdecimal() and len(count) < 20 else 0


def _is_ours(answer: Answer) -> bool:
    """Whether the Edge refused the text as a whole, and no statement failed."""
    return answer.error.get("M", "").startswith("twokeys: ")


def _applied(applied: int, migration: Migration, doubt: str = "") -> str:
    rest = f"The {len(migration.steps) - applied} from statement {applied + 1} on were not."
    return f"{doubt}{f'Statements 1 to {applied} were applied.' if applied else 'None was applied.'} {rest}"


def _failed(answer: Answer, step: Step | None, applied: str) -> Refused:
    error = answer.error
    said = " ".join(plain(error[name]) for name in ("M", "D", "H") if error.get(name))
    where = f"Statement {step.number} ({plain(step.brief)}) failed: " if step else ""
    advice = "Mend the file, and run what is left of it as a file of its own."
    return Refused(
        f"{where}{said} ({plain(error.get('C', '?????'))})", not_done=applied, advice=advice, code="not_applied"
    )


def _tell(text: str) -> None:
    click.echo(plain(text), err=True)
