"""The `twokeys` command group. Sub-commands are imported when they are called: the Edge alone has not all of them."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from dataclasses import dataclass

import click

from twokeys.errors import TwokeysError


@dataclass(frozen=True, slots=True)
class Lazy:
    """Where a sub-command is: `module:attribute`, with the line that the list of commands shows."""

    module: str
    attribute: str
    about: str


COMMANDS = {
    "up": Lazy("twokeys_cli.up", "up", "Run control plane, Edge and a sample PostgreSQL on this machine."),
    "demo": Lazy("twokeys_cli.demo", "demo", "Play the whole story unattended, and say what happened."),
    "login": Lazy("twokeys_cli.login", "login", "Sign in at a control plane."),
    "request": Lazy("twokeys_cli.request", "request", "List, show, approve or deny what is held."),
    "run": Lazy("twokeys_cli.run", "run", "Run a file of SQL through an Edge, asked about once."),
    "grant": Lazy("twokeys_cli.grant", "grant", "Ask for leave to write for some minutes, and end it."),
    "policy": Lazy("twokeys_cli.policy", "policy", "Show the policy, propose a change, approve one."),
    "credential": Lazy("twokeys_cli.credential", "credential", "Mint a caller's credential for a target."),
    "people": Lazy("twokeys_cli.people", "people", "Say who there is; let somebody new sign in."),
    "issuer": Lazy("twokeys_cli.issuer", "issuer", "Say whose tokens callers may use."),
    "audit": Lazy("twokeys_cli.audit", "audit", "Query, show and verify what was recorded."),
    "edge": Lazy("twokeys_cli.edge", "edge", "Enrol, list and revoke Edges; explain their configuration."),
}
"""All sub-commands, in the order in which the help lists them."""


IN_DOUBT = 3
"""Exit code where a connection was lost, so that what became of a command is not known. 1 is any other error."""


class LazyGroup(click.Group):
    """A group that imports a sub-command only when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name, lazy in COMMANDS.items() if importlib.util.find_spec(lazy.module) is not None]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        lazy = COMMANDS.get(cmd_name)
        if lazy is None or importlib.util.find_spec(lazy.module) is None:
            return None
        try:
            command = getattr(importlib.import_module(lazy.module), lazy.attribute)
        except ModuleNotFoundError as error:
            raise click.ClickException(
                f"`twokeys {cmd_name}` needs the package {error.name}, which isn't installed. Nothing was done. "
                "Try: pip install 'twokeys[up]'"
            ) from error
        assert isinstance(command, click.Command)  # noqa: S101
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list, from the table: importing every sub-command for its first line would take a second."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name].about) for name in self.list_commands(ctx)])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="twokeys", message="twokeys %(version)s")
def cli() -> None:
    """A second pair of eyes on every write that an automation makes."""


def main() -> None:
    """The console script: errors made on purpose end with what happened, what was not done, what to try."""
    try:
        cli(standalone_mode=True)
    except TwokeysError as error:
        click.secho(error.happened, fg="red", bold=True, err=True)
        for line in (error.not_done, error.advice):
            if line:
                click.echo(line, err=True)
        sys.exit(IN_DOUBT if error.code == "lost" else 1)


if __name__ == "__main__":
    main()
