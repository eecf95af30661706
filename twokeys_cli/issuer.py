"""`twokeys issuer`: whose tokens callers may show at Edges. Keys are fetched once, shown, and confirmed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click
import msgspec

from twokeys.bundle import Issuer
from twokeys.caller import Caller, CallerKind
from twokeys.errors import InvalidInput, Refused, Unavailable
from twokeys.issuer import checked_issuer, is_prefix
from twokeys.issuer_keys import thumbprint
from twokeys.shared_issuer import admitted
from twokeys.subject import caller_id, is_beginning
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
    twokeys issuer caller ci+ repo:org/app:environment:prod
    twokeys issuer remove https://ci.example

    The token with the subject `deploy` is then of the caller `ci+deploy`. Its audience is `twokeys:edge:TARGET`.
    Subjects with other characters, as GitHub Actions and Kubernetes have them, are spelled: `twokeys issuer caller`.
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
    for at, one in enumerate(found):
        if at:
            click.echo()
        output.console().print(output.facts(_facts(one)))


@issuer.command()
@click.argument("prefix")
@click.argument("subject")
def caller(prefix: str, subject: str) -> None:
    """Print the user name at an Edge of an issuer's SUBJECT (`sub`), whose callers begin with PREFIX.

    \b
      twokeys issuer caller gh+ repo:org/app:environment:prod
      twokeys issuer caller k8s+ system:serviceaccount:prod:migrator
    """
    if not is_prefix(prefix):
        raise click.UsageError("A prefix ends with +, such as gh+; see: twokeys issuer list")
    click.echo(Caller(caller_id(prefix, subject), CallerKind.MACHINE).id)


@issuer.command()
@click.argument("address", metavar="ISSUER")
@connection
@click.option("--prefix", default="", help="What its subjects begin with as callers, ending with +.")
@click.option("--bare", is_flag=True, help="Its subjects are callers as they are: it may name any caller or person.")
@click.option(
    "--subject",
    "subjects",
    multiple=True,
    metavar="SUBJECT",
    help="A `sub` that may be a caller, or the beginning of such ones: repo:org/app:*. Repeatable; default: all.",
)
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
      twokeys issuer add https://token.actions.githubusercontent.com --prefix gh+ \\
          --subject repo:org/app:environment:prod --subject 'repo:org/migrations:*'

    GitHub Actions, gitlab.com, Buildkite, HCP Terraform and Google sign for everybody: say whose jobs are meant with
    --subject. A SUBJECT is compared exactly; only a last * after : or / stands for more, so that repo:org/app:* is no
    other repository. It takes in each branch and pull request of that one, repo:org/app:environment:prod what GitHub
    lets into that environment.
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
        subjects=list(said["subjects"]),
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


def _facts(one: Issuer) -> dict[str, str | list[str]]:
    try:
        every = "every one that it signs for" if not admitted(one.issuer, one.subjects).entries else ""
    except InvalidInput:
        every = "none: name them with --subject"
    bare = "SUBJECT as it is, a person's too" if one.subjects else "SUBJECT: any caller, any person"
    return {
        "issuer": one.issuer,
        "callers": f"{one.subject_prefix}SUBJECT" if one.subject_prefix else bare,
        "subjects": every or one.subjects,
        "sponsor": one.sponsor_claim and f"claim {one.sponsor_claim}",
        "groups": one.groups_claim and f"claim {one.groups_claim}",
        "nbf": "" if one.require_nbf else "not needed",
        "keys": _keys(one),
    }


def _keys(one: Issuer) -> list[str]:
    try:
        return [thumbprint(key) for key in one.jwks.get("keys", [])]
    except (KeyError, TypeError, InvalidInput):
        return ["unreadable"]


def _caller(prefix: str, entry: str) -> str:
    return f"{caller_id(prefix, entry[:-1])}…" if is_beginning(entry) else caller_id(prefix, entry)


def _confirm(one: Issuer) -> None:
    """Show all that will be trusted; what is typed shows that the prefix was read."""
    facts = _facts(one)
    del facts["keys"]
    output.console().print(output.facts(facts))
    if one.subjects:
        spelled = [[entry, _caller(one.subject_prefix, entry)] for entry in one.subjects]
        output.console().print(output.table(["subject", "caller"], spelled))
    rows = [[key.get("kid", ""), key.get("kty", ""), thumbprint(key)] for key in one.jwks["keys"]]
    output.console().print(output.table(["kid", "kind", "SHA-256 thumbprint (RFC 7638)"], rows))
    word = one.subject_prefix or "bare"
    if not terminal().there or click.prompt(f"To trust these keys, type {word}") != word:
        raise Refused("Nobody confirmed it.", not_done="Nothing was changed.", code="not_confirmed")
