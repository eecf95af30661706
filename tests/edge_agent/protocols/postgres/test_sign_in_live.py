"""Both sides of signing in against the real thing: our client at PostgreSQL, and libpq at our server."""

from __future__ import annotations

import datetime
import ipaddress
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from edge_agent.protocols.postgres import encode
from edge_agent.protocols.postgres.channel_binding import end_point
from edge_agent.protocols.postgres.startup import Startup
from edge_agent.protocols.postgres.startup_rules import Authenticated, Cancel, Ended, StartTls, StartupRules, Step
from edge_agent.protocols.postgres.upstream_auth import UpstreamLogin
from edge_agent.protocols.postgres.upstream_rules import UpstreamReady, UpstreamRules
from tests.edge_agent.protocols.postgres.test_oidc_password import token
from tests.edge_agent.protocols.postgres.test_startup import ANN, Users
from tests.support.postgres import RealPostgres
from twokeys.errors import Refused
from twokeys.verifier import mint_verifier

SECONDS = 10.0


def nonce() -> str:
    return secrets.token_urlsafe(18)


# our client at the real server


@contextmanager
def signed_in(
    rules: UpstreamRules, port: int, database: str, **settings: str
) -> Iterator[tuple[socket.socket, UpstreamReady]]:
    core = UpstreamLogin(rules, nonce=nonce(), database=database, settings=settings)
    with socket.create_connection(("127.0.0.1", port), SECONDS) as connection:
        core.begin()
        step = None
        while step is None:
            connection.sendall(core.take_to_server())
            data = connection.recv(65536)
            assert data, "the server closed the connection"
            step = core.feed(data)
        assert isinstance(step, UpstreamReady)
        yield connection, step


def answer_to(connection: socket.socket, sql: bytes) -> bytes:
    connection.sendall(encode.query(sql))
    data = b""
    while not data.endswith((b"Z\0\0\0\5I", b"Z\0\0\0\5T", b"Z\0\0\0\5E")):
        data += connection.recv(65536)
    return data


def rules_for(real: RealPostgres) -> UpstreamRules:
    return UpstreamRules(real.user, real.password, tls=False, search_path='shop, "odd name\\", public')


def test_our_client_signs_in_read_only(any_postgres: RealPostgres) -> None:
    rules = rules_for(any_postgres)
    with signed_in(
        rules, any_postgres.port, any_postgres.database, application_name="a test", DateStyle="ISO, MDY"
    ) as (connection, ready):
        assert ready.parameters["default_transaction_read_only"] == "on"
        assert ready.parameters["application_name"] == "a test"
        assert len(ready.key.key) == 4
        assert b"25006" in answer_to(connection, b"create temp table t (i int)")
        # The start-up option is what RESET comes back to.
        assert b"RESET" in answer_to(connection, b"reset all")
        assert b"25006" in answer_to(connection, b"create temp table t (i int)")
        assert b'shop, "odd name\\", public' in answer_to(connection, b"show search_path")
        assert b"UTF8" in answer_to(connection, b"show client_encoding")


def test_a_wrong_password_is_the_servers_refusal(any_postgres: RealPostgres) -> None:
    rules = replace(rules_for(any_postgres), password="not-it")
    with pytest.raises(Refused) as caught, signed_in(rules, any_postgres.port, any_postgres.database):
        pass
    assert caught.value.code == "upstream_28p01"


def test_a_database_that_is_not_there_is_the_servers_refusal(any_postgres: RealPostgres) -> None:
    with pytest.raises(Refused) as caught, signed_in(rules_for(any_postgres), any_postgres.port, "nowhere"):
        pass
    assert caught.value.code == "upstream_3d000"


def test_a_password_that_saslprep_changes_signs_in(any_postgres: RealPostgres) -> None:
    for at, password in enumerate(["I\u00adX-\u2168-\u00a0-é", "\u0007bell", "\u0627\u0031"]):
        role = f"prep{at}"
        any_postgres.admin(f"create role {role} login password '{password}'")
        try:
            rules = UpstreamRules(role, password, tls=False)
            with signed_in(rules, any_postgres.port, "postgres") as (_, ready):
                assert ready.parameters["session_authorization"] == role
        finally:
            any_postgres.admin(f"drop role {role}")


def test_our_verifier_is_postgresqls(any_postgres: RealPostgres) -> None:
    """What the control plane mints, PostgreSQL takes as a stored password."""
    credential = secrets.token_urlsafe(32)
    any_postgres.admin(f"create role minted login password '{mint_verifier(credential, bytes(16)).to_text()}'")
    try:
        with psycopg.connect(any_postgres.dsn_of("minted", credential), dbname="postgres") as connection:
            assert connection.info.user == "minted"
    finally:
        any_postgres.admin("drop role minted")


# libpq at our server


@dataclass
class Certificate:
    pem: Path
    der: bytes
    context: ssl.SSLContext


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("certificate")
    pem, private = folder / "server.pem", folder / "server.key"
    pem.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, private)
    context.set_alpn_protocols(["postgresql"])
    return Certificate(pem, made.public_bytes(serialization.Encoding.DER), context)


def attend(accepted: socket.socket, rules: StartupRules, context: ssl.SSLContext | None) -> Step:
    """One client: shake hands, and say that a session is ready."""
    core = Startup(rules, Users(), nonce=nonce(), loopback=True)
    with ExitStack() as stack:
        connection = stack.enter_context(accepted)

        def start_tls() -> socket.socket:
            assert context is not None
            wrapped = stack.enter_context(context.wrap_socket(connection, server_side=True))
            core.tls_started()
            return wrapped

        if context is not None and connection.recv(1, socket.MSG_PEEK) == b"\x16":
            connection = start_tls()
        while True:
            step = core.feed(connection.recv(65536), int(time.time()))
            connection.sendall(core.take_to_client())
            match step:
                case StartTls():
                    connection = start_tls()
                case Authenticated():
                    connection.sendall(
                        encode.parameter_status("server_version", "18.6")
                        + encode.parameter_status("client_encoding", "UTF8")
                        + encode.backend_key_data(1, b"abcd")
                        + encode.ready_for_query(ord("I"))
                    )
                    connection.recv(65536)
                    return step
                case Cancel() | Ended():
                    return step


@contextmanager
def our_server(
    rules: StartupRules, context: ssl.SSLContext | None = None
) -> Iterator[tuple[int, Callable[[], list[Step]]]]:
    """A server for one client; the second value waits for it and tells how it ended."""
    steps: list[Step] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(SECONDS)

        def serve() -> None:
            connection, _ = listener.accept()
            connection.settimeout(SECONDS)
            steps.append(attend(connection, rules, context))

        thread = threading.Thread(target=serve)
        thread.start()

        def ended() -> list[Step]:
            thread.join(SECONDS)
            return steps

        yield listener.getsockname()[1], ended
        thread.join(SECONDS)


def test_libpq_signs_in_by_scram_without_tls() -> None:
    with our_server(StartupRules("prod-db", tls=False, mock_secret=bytes(32))) as (port, ended):
        psycopg.connect(f"host=127.0.0.1 port={port} user=ann dbname=shop password=pencil gssencmode=disable").close()
        assert ended() == [Authenticated(ANN, "shop", {}, 0)]


@pytest.mark.parametrize("extra", ["", "sslnegotiation=direct", "min_protocol_version=3.2 max_protocol_version=3.2"])
def test_libpq_binds_its_login_to_our_certificate(certificate: Certificate, extra: str) -> None:
    rules = StartupRules("prod-db", tls=True, mock_secret=bytes(32), binding=end_point(certificate.der))
    said = f"host=127.0.0.1 user=ann dbname=shop password=pencil sslmode=verify-full channel_binding=require {extra}"
    with our_server(rules, certificate.context) as (port, ended):
        psycopg.connect(f"{said} port={port} sslrootcert={certificate.pem}").close()
        assert ended() == [Authenticated(ANN, "shop", {}, 2 if "3.2" in extra else 0)]


def test_libpq_refuses_another_certificates_binding(certificate: Certificate) -> None:
    rules = StartupRules("prod-db", tls=True, mock_secret=bytes(32), binding=bytes(32))
    with our_server(rules, certificate.context) as (port, ended):
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(f"host=127.0.0.1 port={port} user=ann password=pencil sslmode=require")
        assert ended() == [Ended("bad_credential", "ann")]


def test_libpq_sends_a_token_as_password(certificate: Certificate) -> None:
    now = int(time.time())
    password = token({"exp": now + 300, "iat": now - 5, "nbf": now - 5})
    rules = StartupRules("prod-db", tls=True, mock_secret=bytes(32), binding=end_point(certificate.der))
    with our_server(rules, certificate.context) as (port, ended):
        psycopg.connect(
            host="127.0.0.1", port=port, user="ci-deploy", dbname="shop", password=password, sslmode="require"
        ).close()
        [step] = ended()
    assert isinstance(step, Authenticated)
    assert (step.caller.id, step.expires_at) == ("ci-deploy", now + 300)


@pytest.mark.parametrize(
    ("extra", "code"),
    [
        ("password=wrong", "bad_credential"),
        ("password=pencil user=eve", "bad_credential"),
        ("password=pencil options='-c role=x'", "parameter"),
        ("password=pencil replication=database", "replication"),
        ("password=pencil client_encoding=LATIN1", "parameter"),
    ],
)
def test_libpq_is_told_why_it_is_refused(extra: str, code: str) -> None:
    user = "" if "user=" in extra else "user=ann"
    with our_server(StartupRules("prod-db", tls=False, mock_secret=bytes(32))) as (port, ended):
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(f"host=127.0.0.1 port={port} {user} {extra}")
        [step] = ended()
    assert isinstance(step, Ended)
    assert step.code == code
