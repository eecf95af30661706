"""Mail and Slack: every adapter passes its port's suite."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.ses.models import ses_backends

from control_plane.chalicelib.adapters.aws.clients import Clients
from control_plane.chalicelib.adapters.aws.ses import SesMailer
from control_plane.chalicelib.adapters.embedded.outbox import Outbox
from control_plane.chalicelib.adapters.embedded.smtp import SmtpConfig, SmtpMailer
from control_plane.chalicelib.adapters.slack import SlackConfig, SlackPoster
from control_plane.chalicelib.ports.mailer import Mail, Mailer
from control_plane.chalicelib.ports.slack import Slack
from tests.control_plane.pages.conftest import certificate
from tests.control_plane.ports.message_suites import MAIL, MailerSuite, SlackSuite
from tests.support.aws import CREDENTIALS, REGION
from tests.support.aws_faults import refusing
from twokeys.errors import Unavailable

__all__ = ["certificate"]

SENDER = "twokeys@example.com"


class OutboxSite:
    """The folder."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._outbox = folder, Outbox(folder, SENDER, lambda: 1_795_379_462.0)

    @property
    def mailer(self) -> Mailer:
        return self._outbox

    def sent(self) -> list[Mail]:
        return [kept.mail for kept in reversed(self._outbox.newest())] if self._folder.is_dir() else []

    def break_down(self) -> None:
        self._folder.rmdir()


class TestOutbox(MailerSuite):
    """A folder."""

    @pytest.fixture
    def site(self, tmp_path: Path) -> OutboxSite:
        return OutboxSite(tmp_path / "outbox")


class SmtpSite:
    """A mail server on loopback that offers STARTTLS."""

    def __init__(self, certificate: Path) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        self._trust = ssl.create_default_context(cafile=str(certificate))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._messages: list[bytes] = []
        self._refuses = False
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    @property
    def mailer(self) -> Mailer:
        port = self._listener.getsockname()[1]
        return SmtpMailer(SmtpConfig("127.0.0.1", port, SENDER), lambda: 0.0, self._trust)

    def sent(self) -> list[Mail]:
        return [_mail(data) for data in self._messages]

    def break_down(self) -> None:
        self._refuses = True

    def close(self) -> None:
        """End the server."""
        with socket.create_connection(self._listener.getsockname()) as last:
            last.sendall(b"END\r\n")
            self._thread.join(10)
        self._listener.close()

    def _serve(self) -> None:
        going_on = True
        while going_on:
            peer, _ = self._listener.accept()
            peer.settimeout(10)
            try:
                going_on = self._converse(peer)
            except OSError:
                continue

    def _converse(self, peer: socket.socket) -> bool:
        with peer:
            peer.sendall(b"220 mail\r\n")
            file = peer.makefile("rb")
            while line := file.readline():
                word = line.strip().upper()
                if word == b"END":
                    return False
                if word == b"STARTTLS":
                    peer.sendall(b"220 go\r\n")
                    file.close()
                    with self._context.wrap_socket(peer, server_side=True) as inside, inside.makefile("rb") as more:
                        self._submission(inside, more)
                    return True
                peer.sendall(b"250-mail\r\n250 STARTTLS\r\n")
            file.close()
        return True

    def _submission(self, peer: socket.socket, file: Any) -> None:
        while line := file.readline():
            word = line.strip().upper()
            if word == b"DATA":
                peer.sendall(b"354 go on\r\n")
                data = b""
                while (piece := file.readline()) not in (b".\r\n", b""):
                    data += piece.removeprefix(b".") if piece.startswith(b"..") else piece
                self._messages.append(data)
            elif word.startswith(b"MAIL") and self._refuses:
                peer.sendall(b"451 later\r\n")
                continue
            peer.sendall(b"221 bye\r\n" if word == b"QUIT" else b"250 ok\r\n")


class TestSmtp(MailerSuite):
    """SMTP under TLS."""

    @pytest.fixture
    def site(self, certificate: Path) -> Iterator[SmtpSite]:
        made = SmtpSite(certificate)
        yield made
        made.close()


class SesSite:
    """SES in moto, inside `mock_aws`."""

    def __init__(self) -> None:
        self.clients = Clients(lambda service, **more: boto3.client(service, region_name=REGION, **more))
        self.verified = self.clients.of("sesv2")
        self.verified.create_email_identity(EmailIdentity=SENDER)

    @property
    def mailer(self) -> Mailer:
        return SesMailer(self.clients, SENDER, "")

    def sent(self) -> list[Mail]:
        messages = ses_backends[DEFAULT_ACCOUNT_ID][REGION].sent_messages
        return [Mail(one.destinations["ToAddresses"][0], one.subject, one.body) for one in messages]

    def break_down(self) -> None:
        self.verified.delete_email_identity(EmailIdentity=SENDER)


@pytest.fixture
def ses(monkeypatch: pytest.MonkeyPatch) -> Iterator[SesSite]:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        yield SesSite()


class TestSes(MailerSuite):
    """SES."""

    @pytest.fixture
    def site(self, ses: SesSite) -> SesSite:
        return ses


@pytest.mark.parametrize("code", ["MessageRejected", "TooManyRequestsException", "AccountSuspendedException"])
def test_what_ses_refuses_is_unavailable(ses: SesSite, code: str) -> None:
    with refusing(ses.clients.of("sesv2"), "SendEmail", code) as asked, pytest.raises(Unavailable, match="not sent"):
        ses.mailer.send(MAIL)
    assert asked == ["SendEmail"]


def test_ses_is_asked_for_plain_text_to_one_person(ses: SesSite) -> None:
    asked: list[dict[str, Any]] = []
    ses.clients.of("sesv2").meta.events.register(
        "provide-client-params.sesv2.SendEmail", lambda params, **_: asked.append(params)
    )
    SesMailer(ses.clients, SENDER, "twokeys-prod").send(MAIL)
    (said,) = asked
    assert said["Destination"] == {"ToAddresses": [MAIL.to]}
    assert list(said["Content"]["Simple"]["Body"]) == ["Text"]
    assert (said["FromEmailAddress"], said["ConfigurationSetName"]) == (SENDER, "twokeys-prod")


class SlackServer:
    """Slack's method on loopback, under TLS."""

    def __init__(self, certificate: Path) -> None:
        bodies: list[dict[str, object]] = []
        said = [b'{"ok": true}']

        class Api(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(200)
                self.end_headers()
                self.wfile.write(said[0])

            def log_message(self, *_args: object) -> None:
                """Quiet."""

        self._bodies, self._said = bodies, said
        self.server = HTTPServer(("127.0.0.1", 0), Api)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self._trust = ssl.create_default_context(cafile=str(certificate))

    @property
    def slack(self) -> Slack:
        return SlackPoster(SlackConfig("C1", "xoxb-hidden", "127.0.0.1", self.server.server_port), self._trust)

    def posted(self) -> list[dict[str, object]]:
        return list(self._bodies)

    def answer(self, body: bytes) -> None:
        self._said[0] = body


class TestSlack(SlackSuite):
    """The Web API."""

    @pytest.fixture
    def slack_site(self, certificate: Path) -> Iterator[SlackServer]:
        made = SlackServer(certificate)
        with made.server:
            thread = threading.Thread(target=made.server.serve_forever)
            thread.start()
            yield made
            made.server.shutdown()
            thread.join()


def _mail(data: bytes) -> Mail:
    message = message_from_bytes(data, policy=policy.default)
    assert isinstance(message, EmailMessage)
    return Mail(str(message["To"]), str(message["Subject"]), message.get_content().replace("\r\n", "\n"))
