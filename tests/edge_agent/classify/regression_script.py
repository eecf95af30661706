"""Cut a script for psql into its statements, without psql: its own commands are left out, its variables filled in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_SET = re.compile(r"\\set (\w+) (.*)")
_VARIABLE = re.compile(r"(?<![:\w]):(?:'(\w+)'|\"(\w+)\"|(\w+))")
_PIECE = re.compile(
    r"--[^\n]*|/\*|[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|\$(\w*)\$.*?\$\1\$"
    r"|\b(?:BEGIN\s+ATOMIC|CASE|END)\b|[();]|\w+|.",
    re.DOTALL | re.IGNORECASE,
)


@dataclass
class Statement:
    """A statement, and the lines that follow it for its COPY FROM stdin."""

    text: str
    data: list[str] = field(default_factory=list)


def statements(script: str, folder: Path) -> Iterator[Statement]:
    """The statements of a script that stands in `folder` (`src/test/regress`)."""
    variables = {"abs_srcdir": str(folder)}
    lines = iter(script.split("\n"))
    gathered = ""
    for line in lines:
        if line.startswith("\\"):
            found = _SET.match(line)
            if found:
                words = (word.strip("'") for word in _VARIABLE.sub(lambda v: variables.get(v[3], ""), found[2]).split())
                variables[found[1]] = "".join(words)
            continue
        line = re.sub(r"\\(gset|gexec|gdesc|g|gx|crosstabview)\b.*$", ";", line)
        gathered += line + "\n"
        if ";" not in line:
            continue
        *whole, gathered = _cut(gathered)
        for text in whole:
            filled = _VARIABLE.sub(lambda v: _value(variables, v), text)
            one = Statement(filled)
            if re.search(r"\bfrom\s+stdin\b", filled, re.IGNORECASE) and "copy" in filled.lower():
                for row in lines:
                    if row == "\\.":
                        break
                    one.data.append(row)
            yield one


def _value(variables: dict[str, str], found: re.Match[str]) -> str:
    name = found[1] or found[2] or found[3]
    if name not in variables:
        return found[0]
    return f"'{variables[name]}'" if found[1] else variables[name]


def _cut(text: str) -> list[str]:
    """The whole statements in `text`, and what is left."""
    found, start, depth, blocks, at = [], 0, 0, 0, 0
    while piece := _PIECE.match(text, at):
        word, at = piece[0].upper(), piece.end()
        if word == "/*":
            at = _comment(text, at)
        elif word in ("(", ")"):
            depth += 1 if word == "(" else -1
        elif word.startswith("BEGIN") and word != "BEGIN":
            blocks += 1
        elif blocks and word in ("CASE", "END"):
            blocks += 1 if word == "CASE" else -1
        elif word == ";" and depth <= 0 and not blocks:
            found.append(text[start:at].strip())
            start, depth = at, 0
        elif word in ("'", '"', "$"):
            # A quote that isn't closed yet: more lines belong to it.
            break
    return [*found, text[start:]]


def _comment(text: str, at: int) -> int:
    depth = 1
    for mark in re.finditer(r"/\*|\*/", text[at:]):
        depth += 1 if mark[0] == "/*" else -1
        if not depth:
            return at + mark.end()
    return len(text)
