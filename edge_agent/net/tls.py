"""TLS contexts of both sides of a PostgreSQL target."""

from __future__ import annotations

import ssl
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

from edge_agent.config import PostgresSection
from edge_agent.net.accept import ALPN
from edge_agent.protocols.postgres.channel_binding import end_point
from twokeys.errors import InvalidInput, Unavailable


def server_context(section: PostgresSection) -> ssl.SSLContext | None:
    """What callers meet; None without a certificate. TLS 1.2 at least (RFC 9325)."""
    if section.tls_cert_file is None or section.tls_key_file is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(section.tls_cert_file, section.tls_key_file)
    return context


def direct_context(section: PostgresSection) -> ssl.SSLContext | None:
    """The same for callers that begin with TLS: what they mean they must say by ALPN."""
    context = server_context(section)
    if context is not None:
        context.set_alpn_protocols([ALPN])
    return context


def server_binding(section: PostgresSection) -> bytes | None:
    """Channel binding data of our certificate (tls-server-end-point, RFC 5929 section 4)."""
    if section.tls_cert_file is None:
        return None
    # A megabyte that an Edge without TLS does not need.
    from cryptography import x509

    certificate = x509.load_pem_x509_certificate(section.tls_cert_file.read_bytes())
    return end_point(certificate.public_bytes(Encoding.DER))


def client_context(section: PostgresSection) -> ssl.SSLContext | None:
    """What the Edge demands of the server: name and chain verified; None where there is no TLS by configuration."""
    if not section.upstream_verifies:
        return None
    try:
        context = ssl.create_default_context(cafile=str(section.upstream_ca_file) if section.upstream_ca_file else None)
    except (OSError, ssl.SSLError) as error:
        raise _unusable("upstream_ca_file", section.upstream_ca_file, error) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if section.upstream_cert_file is not None:
        try:
            # A key with a passphrase would make OpenSSL ask the terminal.
            context.load_cert_chain(section.upstream_cert_file, section.upstream_key_file, password=b"")
        except (OSError, ssl.SSLError) as error:
            raise _unusable("upstream_cert_file", section.upstream_cert_file, error) from error
    # PostgreSQL 17 and later know by it that nobody means another service.
    context.set_alpn_protocols([ALPN])
    return context


def why_untrusted(error: BaseException | None, host: str) -> Unavailable | None:
    """What is wrong with the server's certificate, or ours, in words; None where TLS is not what failed.

    Args:
        error: What broke the connection.
        host: The server, as configured.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return Unavailable(
            f"The database server's certificate is not to be trusted: {error.verify_message}.",
            not_done="No credential was sent.",
            advice=f"Set upstream_ca_file to the authority that signed it, and upstream_host ({host}) to a name in it.",
            code="upstream_certificate",
        )
    if isinstance(error, ssl.SSLError):
        return Unavailable(
            f"TLS with the database server failed: {error.reason or 'it was ended'}.",
            not_done="No session was begun.",
            advice="See that it speaks TLS 1.2 or later, and whether it asks for a certificate (upstream_cert_file).",
            code="upstream_tls",
        )
    return None


def _unusable(key: str, path: Path | None, error: Exception) -> InvalidInput:
    why = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
    return InvalidInput(
        f"{key} ({path}) can't be used: {why}.",
        not_done="The edge was not started.",
        advice="It must be PEM; a key has no passphrase and fits its certificate.",
        code="bad_certificate",
    )
