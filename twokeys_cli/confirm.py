"""The person at the terminal: whether there is one, and how a page is opened for them."""

from __future__ import annotations

import sys
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass

import click


@dataclass(frozen=True, slots=True)
class Terminal:
    """Who sits there.

    Args:
        there: Whether a person can be asked; a script's input is not a confirmation.
        browse: Opens an address in their browser.
    """

    there: bool
    browse: Callable[[str], object]


def terminal() -> Terminal:
    """The terminal of this call: the program's own, unless whoever calls the command gave one."""
    given = click.get_current_context().find_object(Terminal)
    return given or Terminal(sys.stdin.isatty(), webbrowser.open)
