"""TLS contexts of both sides of a PostgreSQL target."""

from __future__ import annotations

import ssl

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from edge_agent.config import PostgresSection
from edge_agent.net.accept import ALPN
from edge_agent.protocols.postgres.channel_binding import end_point


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
    certificate = x509.load_pem_x509_certificate(section.tls_cert_file.read_bytes())
    return end_point(certificate.public_bytes(Encoding.DER))


def client_context(section: PostgresSection) -> ssl.SSLContext | None:
    """What the Edge demands of the server: name and chain verified; None where there is no TLS by configuration."""
    if not section.upstream_verifies:
        return None
    context = ssl.create_default_context(cafile=str(section.upstream_ca_file) if section.upstream_ca_file else None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
