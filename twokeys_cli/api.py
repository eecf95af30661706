"""A person's calls to the control plane: HTTPS, a Bearer token, small answers, errors that say what to try.

The token lies in the user's configuration folder, readable by the user alone, one for each control plane.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import json
import os
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import click
import msgspec

from twokeys.errors import Conflict, InvalidInput, Refused, TwokeysError, Unavailable
from twokeys.messages import ErrorBody
from twokeys_cli.output import plain

TIMEOUT_SECONDS: Final = 30
MAX_ANSWER_BYTES: Final = 16 * 1024 * 1024
"""Longest answer read."""

_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


class SignIn(msgspec.Struct, frozen=True):
    """What a sign-in left: the token, and until when it is good (seconds since the epoch)."""

    token: str
    expires_at: int = 0

    def __repr__(self) -> str:
        return "SignIn(token='…')"


class Kept(msgspec.Struct):
    """The token file: sign-ins by address, and the address last used."""

    current: str = ""
    sign_ins: dict[str, SignIn] = {}


@dataclass(frozen=True, slots=True)
class TokenFile:
    """`sign-in.json` in the user's configuration folder, mode 0600.

    Args:
        folder: The configuration folder, made with mode 0700 when needed.
    """

    folder: Path

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / "sign-in.json"

    def load(self) -> Kept:
        """What is kept; nothing when there is no file.

        Raises:
            Refused: when others can read the file.
        """
        try:
            if self.path.stat().st_mode & 0o077:
                raise Refused(
                    f"{self.path} can be read by others.",
                    not_done="The token was not used.",
                    advice=f"Run `chmod 600 {self.path}`, or `twokeys login` again.",
                )
            return msgspec.json.decode(self.path.read_bytes(), type=Kept)
        except FileNotFoundError:
            return Kept()
        except msgspec.DecodeError as error:
            raise InvalidInput(
                f"{self.path} is malformed.", not_done="The token was not used.", advice="Run `twokeys login` again."
            ) from error

    def keep(self, url: str, sign_in: SignIn | None) -> None:
        """Keep a sign-in, or forget it when None; the file is replaced whole and is never readable by others."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        kept = Kept()
        with contextlib.suppress(TwokeysError):
            kept = self.load()
        if sign_in is None:
            kept.sign_ins.pop(url, None)
        else:
            kept.sign_ins[url], kept.current = sign_in, url
        fresh = self.path.with_name(f".sign-in.{os.getpid()}")
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(kept))
        fresh.replace(self.path)


def checked_url(url: str) -> str:
    """A control plane's address without a trailing slash; plain HTTP only on this machine.

    Raises:
        InvalidInput: otherwise.
    """
    parts = urlsplit(url)
    loopback = parts.scheme == "http" and parts.hostname in _LOOPBACK
    if not parts.hostname or parts.query or parts.fragment or not (parts.scheme == "https" or loopback):
        raise InvalidInput(
            f"{url!r} is no address of a control plane.",
            not_done="Nothing was sent.",
            advice="Write https://HOST; http is for this machine alone (127.0.0.1).",
        )
    return url.rstrip("/")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        """A redirect would carry the token to where it was not meant for."""
        return


def opener(ca_file: Path | None, *handlers: urllib.request.BaseHandler) -> urllib.request.OpenerDirector:
    """An opener that verifies TLS, follows no redirect, and shows a proxy nothing but the end of a TLS tunnel."""
    proxies = {scheme: proxy for scheme, proxy in urllib.request.getproxies().items() if scheme == "https"}
    return urllib.request.build_opener(
        urllib.request.HTTPSHandler(context=_tls(ca_file)),
        urllib.request.ProxyHandler(proxies),
        _NoRedirect(),
        *handlers,
    )


@functools.cache
def _tls(ca_file: Path | None) -> ssl.SSLContext:
    """Reading the system's authorities takes longer than a call."""
    return ssl.create_default_context(cafile=str(ca_file) if ca_file else None)


def exchange(director: urllib.request.OpenerDirector, request: urllib.request.Request) -> tuple[int, Any, bytes]:
    """Send one request; returns status, headers and body, also for refusals.

    Raises:
        Unavailable: when there is no answer, or it is too long.
    """
    try:
        try:
            response = director.open(request, timeout=TIMEOUT_SECONDS)
        except urllib.error.HTTPError as error:
            response = error
        with response:
            data = response.read(MAX_ANSWER_BYTES + 1)
            status, headers = response.status, response.headers
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise Unavailable(
            f"{request.host} does not answer ({reason}).",
            not_done="It is not known to have done anything." if request.get_method() != "GET" else "Nothing was read.",
            advice="See that the control plane runs, and that the address is right.",
        ) from error
    if len(data) > MAX_ANSWER_BYTES:
        raise Unavailable(f"The answer is over {MAX_ANSWER_BYTES} bytes.", not_done="It was not read.")
    return status, headers, data


@dataclass(frozen=True, slots=True)
class Api:
    """The control plane, as one signed-in person.

    Args:
        url: Its address.
        token: The person's token.
        ca_file: A CA bundle to trust instead of the system's.
    """

    url: str
    token: str
    ca_file: Path | None = None

    def get(self, path: str) -> dict[str, Any]:
        """GET a JSON object."""
        return self._call("GET", path, None)

    def send(self, method: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """POST or PUT a JSON object and return the one answered."""
        return self._call(method, path, json.dumps(body).encode())

    def _call(self, method: str, path: str, body: bytes | None) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self.token}", "Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        # The scheme was checked by `checked_url`.
        request = urllib.request.Request(self.url + path, body, headers, method=method)  # noqa: S310
        status, _, data = exchange(opener(self.ca_file), request)
        if status >= 300:
            raise refusal(status, data)
        try:
            value = json.loads(data or b"{}")
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise Unavailable(f"{self.url} answered what is no JSON object.", advice="Is the address right?")
        return value


def refusal(status: int, data: bytes) -> TwokeysError:
    """The error that an answer of the control plane stands for."""
    try:
        body = msgspec.json.decode(data, type=ErrorBody)
    except msgspec.DecodeError:
        body = ErrorBody(code=f"http_{status}", happened=f"The control plane answered {status}.")
    kind: type[TwokeysError] = Unavailable
    advice = body.advice
    match status:
        case 401:
            kind, advice = Refused, advice or "Your sign-in has ended: run `twokeys login`."
        case 403 | 404 | 405:
            kind = Refused
        case 409 | 410 | 412:
            kind = Conflict
        case code if 400 <= code < 500:
            kind = InvalidInput
    return kind(plain(body.happened), not_done=plain(body.not_done), advice=plain(advice), code=body.code)


def connection(command: Any) -> Any:
    """The options that say which control plane, for every command that calls one."""
    for option in (
        click.option("--ca-file", type=click.Path(path_type=Path), envvar="TWOKEYS_CA_FILE", help="CA to trust."),
        click.option("--url", envvar="TWOKEYS_URL", default="", help="Control plane; default: the last signed in at."),
    ):
        command = option(command)
    return command


def token_file() -> TokenFile:
    """The user's token file, or the one of the folder that TWOKEYS_CONFIG names."""
    return TokenFile(Path(os.environ.get("TWOKEYS_CONFIG") or click.get_app_dir("twokeys")))


def signed_in(url: str, ca_file: Path | None) -> Api:
    """The control plane as the signed-in person.

    Raises:
        Refused: when nobody is signed in there.
    """
    kept = token_file().load()
    address = checked_url(url) if url else kept.current
    sign_in = kept.sign_ins.get(address)
    if sign_in is None or (sign_in.expires_at and sign_in.expires_at <= time.time()):
        raise Refused(
            f"You are not signed in at {address}." if address else "You are not signed in.",
            not_done="Nothing was asked.",
            advice=f"Run `twokeys login {address or 'https://ADDRESS'}`.",
            code="not_signed_in",
        )
    return Api(address, sign_in.token, ca_file)
