"""HTTP to the control plane over real TLS: only a certificate of the named authority, for the named host."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import ssl
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from edge_agent.control.exchange import HttpCall
from edge_agent.net.http import ControlHttp
from twokeys.errors import Unavailable


def certificate(folder: Path, name: str, address: str) -> tuple[Path, Path]:
    """A self-signed certificate for an address, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / f"{name}.pem", folder / f"{name}.key"
    cert_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return cert_file, key_file


@pytest.mark.parametrize(
    ("trusted", "shown", "passes"),
    [("right", "right", True), ("other", "right", False), (None, "right", False), ("elsewhere", "elsewhere", False)],
)
def test_only_the_named_authority_and_host_are_trusted(
    tmp_path: Path, trusted: str | None, shown: str, passes: bool
) -> None:
    files = {
        "right": certificate(tmp_path, "right", "127.0.0.1"),
        "other": certificate(tmp_path, "other", "127.0.0.1"),
        "elsewhere": certificate(tmp_path, "elsewhere", "127.0.0.9"),
    }
    seen: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append(request.path_qs)
        return web.Response(body=b"fine", headers={"Twokeys-Time": "7"})

    async def play() -> None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*files[shown])
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        http = ControlHttp(
            f"https://127.0.0.1:{runner.addresses[0][1]}/stage/", files[trusted][0] if trusted else None, 2.0
        )
        call = HttpCall("GET", "/v1/bundle?have=0", {}, b"", 5.0)
        try:
            if passes:
                got = await http.exchange(call)
                assert (got.status, got.body, got.headers["twokeys-time"]) == (200, b"fine", "7")
            else:
                with pytest.raises(Unavailable):
                    await http.exchange(call)
        finally:
            await http.close()
            await runner.cleanup()

    asyncio.run(play())
    assert seen == (["/stage/v1/bundle?have=0"] if passes else []), "nothing is said to a stranger"
