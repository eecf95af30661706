"""Channel binding: tie a login to the TLS connection it comes by (RFC 5929 section 4, tls-server-end-point)."""

from __future__ import annotations

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes


def end_point(certificate: bytes) -> bytes | None:
    """The binding data of a server's certificate.

    Args:
        certificate: DER.

    Returns:
        The certificate's hash by its own signature's hash function, SHA-256 in place of MD5 and SHA-1 (RFC 5929
        section 4.1); None where the signature has no such function (Ed25519) or can't be read: no binding is defined.
    """
    # A megabyte that an Edge without TLS does not need.
    from cryptography import x509

    try:
        function = x509.load_der_x509_certificate(certificate).signature_hash_algorithm
    except (ValueError, UnsupportedAlgorithm):
        return None
    if function is None:
        return None
    if isinstance(function, hashes.MD5 | hashes.SHA1):
        function = hashes.SHA256()
    digest = hashes.Hash(function)
    digest.update(certificate)
    return digest.finalize()
