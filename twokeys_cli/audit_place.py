"""Where an audit command finds the records: a folder, a state folder of `twokeys up`, or a deployment on AWS."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import click

from twokeys.errors import Unavailable
from twokeys_cli.recordings import recordings_in


def where(command: Any) -> Any:
    """The options that say where recordings are."""
    for option in (
        click.option("--folder", type=click.Path(path_type=Path), help="A recordings folder, for example a copy."),
        click.option("--state", type=click.Path(path_type=Path), help="A state folder of `twokeys up`."),
    ):
        command = option(command)
    return command


def on_aws(command: Any) -> Any:
    """The options that say where queries run on AWS."""
    for option in (
        click.option("--region", envvar="AWS_REGION", default="", help="AWS region; default: the AWS settings'."),
        click.option(
            "--athena-database", envvar="TWOKEYS_ATHENA_DATABASE", default="", metavar="NAME",
            help="Output AthenaDatabase of the deployment's stack.",
        ),
        click.option(
            "--athena-workgroup", envvar="TWOKEYS_ATHENA_WORKGROUP", default="", metavar="NAME",
            help="Ask Athena, in this workgroup: output AthenaWorkgroup of the deployment's stack.",
        ),
    ):  # fmt: skip
        command = option(command)
    return command


def aws() -> ModuleType:
    """`twokeys_cli.aws_clients`, which needs boto3.

    Raises:
        Unavailable: when boto3 isn't installed.
    """
    try:
        from twokeys_cli import aws_clients
    except ModuleNotFoundError as error:
        raise Unavailable(
            f"Asking AWS needs the package {error.name}, which isn't installed.",
            not_done="Nothing was asked.",
            advice="Try: pip install 'twokeys[aws]'",
            code="not_installed",
        ) from error
    return aws_clients


def find(state: Path | None, folder: Path | None) -> Path:
    """The recordings folder that the options name, or the one `twokeys up` uses here."""
    if state and folder:
        raise click.UsageError("--state and --folder name two places; give one.")
    if folder:
        return recordings_in(folder)
    if state:
        return recordings_in(state)
    from twokeys_cli.state import default_path

    return recordings_in(default_path(Path.cwd()))
