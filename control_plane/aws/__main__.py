"""`python -m control_plane.aws project | bootstrap | check`: what an owner runs for a deployment on AWS."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Final

from control_plane.aws.first_start import FirstPerson, bootstrap, read_person
from control_plane.aws.packages import architecture_of, compile_all, install
from control_plane.aws.project import make_project
from control_plane.aws.reach import check
from control_plane.aws.stage import CONFIG, PROJECT, stage_settings
from control_plane.chalicelib.adapters.aws.clients import Clients
from control_plane.chalicelib.adapters.aws.clock import LambdaClock
from control_plane.chalicelib.adapters.aws.deployment import open_ports, recordings_of
from twokeys.errors import TwokeysError

TARGET: Final = Path("build/lambda")


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line and do it. Exits with 1 when something is wrong, after having said what."""
    options = _parser().parse_args(arguments)
    try:
        match options.command:
            case "project":
                _project(options.to)
            case "bootstrap":
                _bootstrap(options)
            case "check":
                _check(options)
    except TwokeysError as error:
        sys.exit(str(error))


def _project(target: Path) -> None:
    architecture = architecture_of(CONFIG)
    modules = make_project(PROJECT, target)
    install(PROJECT / "requirements.txt", target / "vendor", architecture)
    compile_all(target)
    print(f"{target} holds {len(modules)} modules of ours and the packages for {architecture}.")
    print(f"Next: cd {target} && chalice deploy --stage STAGE")


def _bootstrap(options: argparse.Namespace) -> None:
    settings = stage_settings(options.config, options.stage)
    owner_id = options.owner_id or options.owner_email.partition("@")[0]
    owner = FirstPerson(owner_id, options.owner_subject, options.owner_email)
    clients, clock = Clients(), LambdaClock()
    ports = open_ports(settings, clients, clock)
    reviewers = [read_person(one) for one in options.reviewer]
    done = bootstrap(ports, owner, reviewers, recordings_of(settings, clients).publish_keys)
    print(json.dumps(done, indent=1))
    if not options.reviewer:
        print("Nobody but the owner can approve: what the owner or their machines ask for is denied.", file=sys.stderr)
    print(f"Next: twokeys login {settings.public_url}", file=sys.stderr)


def _check(options: argparse.Namespace) -> None:
    found = check(stage_settings(options.config, options.stage), Clients(), LambdaClock())
    for one in found:
        print(f"{'FAULT' if one.problem else 'ok':5}  {one.what:15} {one.name}  {one.problem}".rstrip())
    faults = sum(bool(one.problem) for one in found)
    if faults:
        sys.exit(f"{faults} of {len(found)} can't be used.")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m control_plane.aws", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    project = commands.add_parser("project", help="make the folder that chalice packages")
    project.add_argument("--to", type=Path, default=TARGET, help="the folder; default: build/lambda")
    first = commands.add_parser("bootstrap", help="put a new deployment in force, once; needs AWS credentials")
    first.add_argument("--owner-subject", required=True, help="the owner's `sub` at the issuer")
    first.add_argument("--owner-email", required=True)
    first.add_argument("--owner-id", default="", help="the owner's id here; default: the address up to the @")
    first.add_argument(
        "--reviewer", action="append", default=[], metavar="ID=SUBJECT,EMAIL", help="who else may approve; repeatable"
    )
    looked = commands.add_parser("check", help="say what of the stack can be reached; needs AWS credentials")
    for command in (first, looked):
        command.add_argument("--stage", default="prod")
        command.add_argument("--config", type=Path, default=CONFIG, help="Chalice's configuration, as rendered")
    return parser


if __name__ == "__main__":
    main()
