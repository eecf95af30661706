"""`twokeys issuer`: whose tokens callers may show at Edges. Keys are fetched once, shown, and confirmed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
import msgspec

from twokeys.bundle import Issuer
from twokeys.errors import InvalidInput, Refused, Unavailable
from twokeys.issuer import checked_issuer
from twokeys.issuer_keys import thumbprint
from twokeys_cli import output
from twokeys_cli.api import Api, connection, signed_in
from twokeys_cli.confirm import terminal
from twokeys_cli.issuer_fetch import fetched_jwks, read_jwks


@click.group()
def issuer() -> None:
    """Say whose OpenID Connect tokens callers may use as password at an Edge, over TLS.

    \b
    twokeys issuer list
    twokeys issuer add https://ci.example --prefix ci+ --sponsor-claim sponsor
    twokeys issuer remove https://ci.example

    The token with the subject `deploy` is then of the caller `ci+deploy`. Its audience is `twokeys:edge:TARGET`.
    """


@issuer.command("list")
@connection
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def list_(url: str, ca_file: Path | None, form: str) -> None:
    """List the issuers, with the thumbprints of their keys."""
    found = _known(signed_in(url, ca_file))
    if form == "json":
        output.write(json.dumps([msgspec.to_builtins(one) for one in found], indent=1))
        return
    columns = ["issuer", "subjects", "sponsor claim", "groups claim", "keys"]
    rows = [
        [one.issuer, one.subject_prefix or "bare", one.sponsor_claim, one.groups_claim, _keys(one)] for one in found
    ]
    output.console().print(output.table(columns, rows))


@issuer.command()
@click.argument("address", metavar="ISSUER")
@connection
@click.option("--prefix", default="", help="What its subjects begin with as callers, ending with +.")
@click.option("--bare", is_flag=True, help="Its subjects are callers as they are: it may name any caller or person.")
@click.option("--jwks", type=click.File("rb"), help="Its public key set (JWKS); default: fetched from it.")
@click.option("--sponsor-claim", default="", help="The claim that names a caller's sponsor; default: none.")
@click.option("--groups-claim", default="", help="The claim that lists a caller's groups; default: none.")
@click.option("--without-nbf", is_flag=True, help="Its tokens need no `nbf`.")
@click.option("--yes", is_flag=True, help="Don't ask; only with --jwks.")
def add(address: str, url: str, ca_file: Path | None, yes: bool, jwks: Any, **said: Any) -> None:
    """Trust ISSUER, or change how it is trusted: its keys, too, which nobody fetches again. Owners only.

    \b
      twokeys issuer add https://ci.example --prefix ci+
      twokeys issuer add https://ci.example --prefix ci+ --jwks keys.json --yes
    """
    if yes and jwks is None:
        raise click.UsageError("--yes needs --jwks: keys that were fetched are looked at.")
    if bool(said["prefix"]) == said["bare"]:
        raise click.UsageError("Give --prefix, or --bare.")
    api = signed_in(url, ca_file)
    keys = read_jwks(jwks.read(), jwks.name) if jwks is not None else fetched_jwks(address, ca_file)
    asked = Issuer(
        issuer=address,
        jwks=keys,
        subject_prefix=said["prefix"],
        bare_subjects=said["bare"],
        sponsor_claim=said["sponsor_claim"],
        groups_claim=said["groups_claim"],
        require_nbf=not said["without_nbf"],
    )
    checked = checked_issuer(asked, _known(api))
    if not yes:
        _confirm(checked)
    api.send("PUT", "/v1/issuers", msgspec.to_builtins(checked))
    click.echo(f"{output.plain(address)} is trusted; edges know it with their next bundle.")


@issuer.command()
@click.argument("address", metavar="ISSUER")
@connection
@click.option("--yes", is_flag=True, help="Don't ask.")
def remove(address: str, url: str, ca_file: Path | None, yes: bool) -> None:
    """Trust ISSUER no more: its tokens sign nobody in once edges have their next bundle. Owners only."""
    if not yes:
        click.confirm(f"Trust {output.plain(address)} no more?", abort=True, err=True)
    signed_in(url, ca_file).send("DELETE", f"/v1/issuers?issuer={quote(address, safe='')}", {})
    click.echo(f"{output.plain(address)} is not trusted any more; edges know it with their next bundle.")


def _known(api: Api) -> list[Issuer]:
    try:
        return msgspec.convert(api.get("/v1/issuers").get("issuers", []), list[Issuer])
    except msgspec.ValidationError as error:
        raise Unavailable(f"The control plane's list of issuers is malformed ({error}).",
                          not_done="Nothing was changed.", code="bad_answer") from error  # fmt: skip


def _keys(one: Issuer) -> str:
    try:
        return " ".join(thumbprint(key) for key in one.jwks.get("keys", []))
    except (KeyError, TypeError, InvalidInput):
        return "unreadable"


def _confirm(one: Issuer) -> None:
    """Show all that will be trusted; what is typed shows that the prefix was read."""
    said = {
        "issuer": one.issuer,
        "callers": f"{one.subject_prefix}SUBJECT" if one.subject_prefix else "SUBJECT: any caller, any person",
        "sponsor": one.sponsor_claim and f"claim {one.sponsor_claim}",
        "groups": one.groups_claim and f"claim {one.groups_claim}",
        "nbf": "" if one.require_nbf else "not needed",
    }
    output.console().print(output.facts(said))
    rows = [[key.get("kid", ""), key.get("kty", ""), thumbprint(key)] for key in one.jwks["keys"]]
    output.console().print(output.table(["kid", "kind", "SHA-256 thumbprint (RFC 7638)"], rows))
    word = one.subject_prefix or "bare"
    if not terminal().there or click.prompt(f"To trust these keys, type {word}") != word:
        raise Refused("Nobody confirmed it.", not_done="Nothing was changed.", code="not_confirmed")
