"""A token as password, end to end: trusted by an owner at a terminal, shown by psycopg over TLS, and taken back.

On one machine alone: what AWS keeps of issuers is in the ports' suite, and the Edge is the same.
"""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import psycopg
import pytest

from tests.edge_agent.protocols.postgres.test_sign_in_live import Certificate, certificate
from tests.end_to_end.test_command_line import as_person
from tests.support.callers import WaitingCaller
from tests.support.deployment import CALLER, TARGET, Deployment, deployment
from tests.support.postgres import RealPostgres
from tests.twokeys.test_issuer import KEY, PUBLIC, URL

__all__ = ["certificate"]

pytestmark = pytest.mark.slow


@pytest.fixture
def whole(tmp_path: Path, postgres: RealPostgres, certificate: Certificate) -> Iterator[Deployment]:
    """A deployment whose Edge has a certificate."""
    with deployment(tmp_path, postgres) as running:
        running.edge.stop()
        config = tmp_path / "edge.toml"
        key = certificate.pem.with_name("server.key")
        key.chmod(0o600)
        config.write_text(config.read_text() + f'tls_cert_file = "{certificate.pem}"\ntls_key_file = "{key}"\n')
        running.edge.start()
        yield running


def token(subject: str = "deploy", **changed: Any) -> str:
    now = int(time.time())
    claims = {"iss": URL, "sub": subject, "aud": f"twokeys:edge:{TARGET}", "iat": now, "nbf": now, "exp": now + 300,
              "sponsor": "ann", **changed}  # fmt: skip
    return jwt.encode({name: value for name, value in claims.items() if value}, KEY, "ES256", {"kid": PUBLIC["kid"]})


def dsn(whole: Deployment, certificate: Certificate, user: str, password: str, tls: str = "verify-full") -> str:
    return (
        f"host=127.0.0.1 port={whole.edge_port} dbname={whole.postgres.database} user={user} password={password} "
        f"sslmode={tls} sslrootcert={certificate.pem}"
    )


def signs_in(name: str) -> bool:
    try:
        with psycopg.connect(name) as caller:
            return caller.execute("SELECT count(*) FROM shop.orders").fetchone() == (200,)
    except psycopg.OperationalError as error:
        # The second: a Bundle came between the password and the session, or ended the session.
        assert re.search("password authentication failed|registration changed", str(error)), error
        return False


def until(wanted: bool, name: str) -> None:
    """Wait for the Edge's next Bundle."""
    end = time.monotonic() + 20
    while signs_in(name) is not wanted:
        assert time.monotonic() < end
        select.select([], [], [], 0.2)


def ended(caller: psycopg.Connection[Any]) -> None:
    """Wait until the Edge's next Bundle has ended a session that nobody uses."""
    assert select.select([caller.fileno()], [], [], 20)[0]
    with pytest.raises(psycopg.OperationalError, match="registration changed"):
        caller.execute("SELECT 1")


def applied_with_a_token(whole: Deployment, certificate: Certificate) -> tuple[int, str]:
    """`twokeys run` with a token in a file: its exit code, and what was applied."""
    file, shown = whole.folder / "migration.sql", whole.folder / "token"
    file.write_text("UPDATE shop.orders SET status = 'paid' WHERE id = 62")
    shown.write_text(token() + "\n")
    running = subprocess.Popen(
        [sys.executable, "-m", "twokeys_cli.main", "run", "-f", str(file), "--port", str(whole.edge_port), "--user",
         "ci+deploy", "--token-file", str(shown), "--ca-file", str(certificate.pem)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={name: value for name, value in os.environ.items() if name != "PGPASSWORD"},
    )  # fmt: skip
    assert whole.vote("rob", whole.one_pending(), approve=True).status == 200
    out, _ = running.communicate(timeout=30)
    return running.returncode, out.rsplit("transaction: ")[-1].strip().rstrip(".")


def test_a_token_signs_in_while_its_issuer_is_trusted(whole: Deployment, certificate: Certificate) -> None:
    keys = whole.folder / "keys.json"
    keys.write_text(json.dumps({"keys": [PUBLIC]}))
    deploy = dsn(whole, certificate, "ci+deploy", token())
    assert not signs_in(deploy)
    more = ("--prefix", "ci+", "--sponsor-claim", "sponsor", "--jwks", str(keys), "--yes")
    assert as_person(whole, "rob", "issuer", "add", URL, *more).returncode != 0
    added = as_person(whole, "ann", "issuer", "add", URL, *more)
    assert added.returncode == 0, added.stderr
    until(True, deploy)
    assert URL in as_person(whole, "rob", "issuer", "list").stdout
    for user, password, tls in (
        ("deploy", token(), "verify-full"),
        ("ann", token("ann"), "verify-full"),
        (CALLER, token(CALLER), "verify-full"),
        ("ci+other", token(), "verify-full"),
        ("ci+deploy", token(aud="twokeys:edge:other-db"), "verify-full"),
        ("ci+deploy", token(nbf=None), "verify-full"),
        ("ci+deploy", token(), "disable"),
    ):
        assert not signs_in(dsn(whole, certificate, user, password, tls)), user

    caller = WaitingCaller(deploy, "UPDATE shop.orders SET status = 'shipped' WHERE id = 61")
    request = whole.one_pending()
    assert (request["caller"], request["sponsor"]) == ("ci+deploy", "ann")
    assert whole.vote("ann", request, approve=True).status in (403, 409)
    assert whole.vote("rob", request, approve=True).status == 200
    assert caller.done().rows == 1

    assert applied_with_a_token(whole, certificate) == (0, "UPDATE 1")

    job, subject = "ci+repo+3Aorg+2Fapp+3Aref+3Arefs+2Fheads+2Fmain", "repo:org/app:ref:refs/heads/main"
    assert signs_in(dsn(whole, certificate, job, token(subject)))
    with psycopg.connect(dsn(whole, certificate, "ci+deploy", token()), autocommit=True) as unlisted:
        unlisted.execute("SELECT 1")
        listed = as_person(whole, "ann", "issuer", "add", URL, *more, "--subject", "repo:org/app:*")
        assert listed.returncode == 0, listed.stderr
        ended(unlisted)
    assert not signs_in(dsn(whole, certificate, "ci+deploy", token()))
    assert signs_in(dsn(whole, certificate, job, token(subject)))
    for user, password in (
        (job, token("repo:org/app")),
        (job, token("repo:org/app-evil:ref:refs/heads/main")),
        ("ci+repo+3Aorg+2Fapp-evil+3Aref+3Arefs+2Fheads+2Fmain", token("repo:org/app-evil:ref:refs/heads/main")),
        ("ci+repo+3Aevil+2Fapp+3Ax", token("repo:evil/app:x")),
        ("ci+other", token("other")),
    ):
        assert not signs_in(dsn(whole, certificate, user, password)), user
    assert as_person(whole, "ann", "issuer", "add", URL, *more).returncode != 0

    with psycopg.connect(dsn(whole, certificate, job, token(subject)), autocommit=True) as orphan:
        orphan.execute("SELECT 1")
        removed = as_person(whole, "ann", "issuer", "remove", URL, "--yes")
        assert removed.returncode == 0, removed.stderr
        ended(orphan)
    until(False, dsn(whole, certificate, job, token(subject)))
