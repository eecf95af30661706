"""Mail goes under TLS or not at all."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from control_plane.chalicelib.adapters.embedded.smtp import SmtpConfig, SmtpMailer
from control_plane.chalicelib.ports.mailer import Mail
from twokeys.errors import Unavailable

MAIL = Mail("rob@example.com", "subject", "text\n")


@contextmanager
def mail_server(certificate: Path, offers_tls: bool) -> Iterator[tuple[int, list[str]]]:
    """One SMTP conversation; yields the port and the lines that came."""
    lines: list[str] = []
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=_converse, args=(listener, certificate, offers_tls, lines))
    thread.start()
    try:
        yield listener.getsockname()[1], lines
    finally:
        thread.join(10)
        listener.close()


def _converse(listener: socket.socket, certificate: Path, offers_tls: bool, lines: list[str]) -> None:
    peer, _ = listener.accept()
    peer.settimeout(10)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    peer.sendall(b"220 mail\r\n")
    file, in_data = peer.makefile("rb"), False
    try:
        while line := file.readline():
            text = line.decode().rstrip("\r\n")
            lines.append(text)
            if in_data:
                in_data = text != "."
                answer = b"" if in_data else b"250 taken\r\n"
            elif text.startswith("ehlo"):
                answer = b"250-mail\r\n250 STARTTLS\r\n" if offers_tls else b"250 mail\r\n"
            elif text == "STARTTLS":
                peer.sendall(b"220 go\r\n")
                file.close()
                peer = context.wrap_socket(peer, server_side=True)
                file, answer = peer.makefile("rb"), b""
            elif text == "QUIT":
                peer.sendall(b"221 bye\r\n")
                break
            else:
                in_data = text == "data"
                answer = b"354 go on\r\n" if in_data else b"250 ok\r\n"
            peer.sendall(answer)
    except OSError:
        lines.append("BROKEN")
    finally:
        file.close()
        peer.close()


def mailer(port: int, roots: Path | None) -> SmtpMailer:
    context = ssl.create_default_context(cafile=str(roots) if roots else None)
    return SmtpMailer(SmtpConfig("127.0.0.1", port, "twokeys@example.com"), lambda: 0.0, context)


def test_mail_is_sent_under_tls(certificate: Path) -> None:
    with mail_server(certificate, offers_tls=True) as (port, lines):
        mailer(port, certificate).send(MAIL)
    assert lines.index("STARTTLS") < lines.index("Subject: subject")


def test_without_tls_nothing_is_sent(certificate: Path) -> None:
    with mail_server(certificate, offers_tls=False) as (port, lines), pytest.raises(Unavailable, match="did not take"):
        mailer(port, certificate).send(MAIL)
    assert not any("subject" in line or "@" in line for line in lines)


def test_an_untrusted_server_gets_nothing(certificate: Path) -> None:
    with mail_server(certificate, offers_tls=True) as (port, lines), pytest.raises(Unavailable):
        mailer(port, None).send(MAIL)
    assert not any("@" in line for line in lines)


def test_no_server_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(Unavailable):
        mailer(port, None).send(MAIL)


def test_a_password_is_not_in_the_repr() -> None:
    assert "hidden" not in repr(SmtpConfig("h", 1, "s", "u", "hidden"))
