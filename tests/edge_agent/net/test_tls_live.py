"""Callers over TLS: asked for, or from the first byte; and what looks like it and is not."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.edge_agent.net.certificates import Authority
from tests.edge_agent.net.edge_in_process import InProcessEdge, edge_in_process
from tests.support.postgres import RealPostgres

SSL_REQUEST = struct.pack("!II", 8, 1234 << 16 | 5679)
GSSENC_REQUEST = struct.pack("!II", 8, 1234 << 16 | 5680)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def edge(tmp_path: Path, postgres: RealPostgres, authority: Authority) -> Iterator[InProcessEdge]:
    certificate, key = authority.issue("127.0.0.1")
    with edge_in_process(tmp_path, postgres, tls_cert_file=certificate, tls_key_file=key) as running:
        yield running


def dsn(edge: InProcessEdge, authority: Authority, extra: str) -> str:
    return edge.dsn.replace("sslmode=disable", f"sslmode=verify-full sslrootcert={authority.ca_file} {extra}")


def dial(edge: InProcessEdge) -> socket.socket:
    return socket.create_connection(("127.0.0.1", edge.port), 10)


def client_context(authority: Authority, *protocols: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority.ca_file))
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


@pytest.mark.parametrize("negotiation", ["postgres", "direct"])
def test_libpq_signs_in_bound_to_the_certificate(edge: InProcessEdge, authority: Authority, negotiation: str) -> None:
    extra = f"sslnegotiation={negotiation} channel_binding=require"
    with psycopg.connect(dsn(edge, authority, extra), autocommit=True) as caller:
        assert caller.pgconn.ssl_in_use
        assert caller.execute("SELECT count(*) FROM orders").fetchone() == (200,)
        assert caller.execute("UPDATE orders SET status = status WHERE id = 1").rowcount == 1


@pytest.mark.parametrize("protocols", [(), ("http/1.1",), ("h2", "http/1.1")])
def test_w1_direct_tls_that_is_not_meant_for_postgresql_is_closed(
    edge: InProcessEdge, authority: Authority, protocols: tuple[str, ...]
) -> None:
    context = client_context(authority, *protocols)
    startup = b"user\0agent-7\0database\0sample\0\0"
    with dial(edge) as plain, context.wrap_socket(plain, server_hostname="127.0.0.1") as encrypted:
        assert encrypted.selected_alpn_protocol() is None
        encrypted.sendall(struct.pack("!II", 8 + len(startup), 3 << 16) + startup)
        assert encrypted.recv(100) == b""


@pytest.mark.parametrize("late", [GSSENC_REQUEST, SSL_REQUEST, b"\x16\x03\x01", b"x"])
def test_w1_cve_2021_23222_nothing_may_come_with_an_ssl_request(edge: InProcessEdge, late: bytes) -> None:
    with dial(edge) as plain:
        plain.sendall(SSL_REQUEST + late)
        data = plain.recv(1000)
        assert not data.startswith(b"S")
        assert data.startswith(b"E") or data == b""


def test_gss_encryption_is_declined_and_tls_may_still_be_asked_for(edge: InProcessEdge, authority: Authority) -> None:
    with dial(edge) as plain:
        plain.sendall(GSSENC_REQUEST)
        assert plain.recv(1) == b"N"
        plain.sendall(SSL_REQUEST)
        assert plain.recv(1) == b"S"
        with client_context(authority).wrap_socket(plain, server_hostname="127.0.0.1") as encrypted:
            encrypted.sendall(SSL_REQUEST)
            assert encrypted.recv(1) == b"E"


def test_w1_tls_inside_of_direct_tls_is_refused(edge: InProcessEdge, authority: Authority) -> None:
    context = client_context(authority, "postgresql")
    with dial(edge) as plain, context.wrap_socket(plain, server_hostname="127.0.0.1") as encrypted:
        assert encrypted.selected_alpn_protocol() == "postgresql"
        encrypted.sendall(SSL_REQUEST)
        assert encrypted.recv(1) == b"E"


def test_w2_cancel_over_tls_and_protocol_3_2_keys(edge: InProcessEdge, authority: Authority) -> None:
    extra = "min_protocol_version=3.2 max_protocol_version=3.2 sslnegotiation=direct"
    edge.control.verdict = "pending"
    with psycopg.connect(dsn(edge, authority, extra), autocommit=True) as caller:
        said: list[BaseException] = []

        def write() -> None:
            try:
                caller.execute("UPDATE orders SET status = status WHERE id = 2")
            except psycopg.Error as error:
                said.append(error)

        thread = threading.Thread(target=write)
        thread.start()
        assert edge.control.arrived.wait(5)
        caller.cancel_safe()
        thread.join(5)
        assert isinstance(said[0], psycopg.errors.QueryCanceled)
        assert caller.execute("SELECT 1").fetchone() == (1,)


def test_a_connection_that_says_nothing_or_goes_away_is_forgotten(edge: InProcessEdge) -> None:
    for _ in range(20):
        dial(edge).close()
    with dial(edge) as silent, psycopg.connect(edge.dsn) as caller:
        assert caller.execute("SELECT 1").fetchone() == (1,)
        silent.sendall(b"\x16")
        silent.shutdown(socket.SHUT_WR)
        assert silent.recv(100) == b""
