"""`twokeys audit verify`: prove offline that nothing is missing or changed, in a folder or in a bucket."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

import click
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from twokeys.errors import InvalidInput, Unavailable
from twokeys.signature import PublicKey
from twokeys.verify_chain import SourceResult, StoredSegment, Trust, verify_source
from twokeys_cli import output
from twokeys_cli.audit_fetch import fetched
from twokeys_cli.audit_place import find, where
from twokeys_cli.recordings import Found, read_keys, scan, segments

_HEAD: Final = re.compile(
    r"(?:(?P<source>[A-Za-z0-9][A-Za-z0-9._@+-]*)=)?(?P<sequence>\d{1,15}):(?P<hash>[0-9a-f]{64})"
)

MAX_HEADS_CHARACTERS: Final = 1024 * 1024
"""Most of a heads file that is read."""


@click.command()
@click.argument("place", required=False, default="", metavar="[s3://BUCKET/PREFIX]")
@where
@click.option("--keys", type=click.Path(path_type=Path), help="Public keys to trust; default: the folder's keys.json.")
@click.option("--head", "heads", multiple=True, metavar="[SOURCE=]SEQ:HASH", help="A head printed by an earlier run.")
@click.option("--heads", "heads_file", type=click.File("r", encoding="utf-8"), help="A file of heads, one a line.")
@click.option("--without-bodies", is_flag=True, help="For a copy that has only lines and seals.")
@click.option("--region", envvar="AWS_REGION", default="", help="The bucket's region; default: the AWS settings'.")
@click.option("--cache", type=click.Path(path_type=Path), envvar="TWOKEYS_CACHE", help="Folder for what is fetched.")
def verify(
    place: str,
    state: Path | None,
    folder: Path | None,
    keys: Path | None,
    heads: tuple[str, ...],
    heads_file: TextIO | None,
    without_bodies: bool,
    region: str,
    cache: Path | None,
) -> None:
    """Prove offline that no record is missing or changed, with public keys alone; or say where one is.

    Exit status 0 means whole, 1 means not. Each run prints the heads it reached: keep them elsewhere and give them
    back with --head or --heads, and a cut-off end is found too. Trust starts at the keys: a copy of keys.json that
    you took on the first day is better than the one beside the records.

    \b
      twokeys audit verify
      twokeys audit verify --folder /mnt/copy/recordings --keys keys.json --heads heads.txt
      twokeys audit verify s3://twokeys-prod-recordings --keys keys.json

    From a bucket the first version of each object is fetched and proved; a later one is told as tampering.
    """
    asked = _Asked(keys, (*heads, *(heads_file.read(MAX_HEADS_CHARACTERS).split() if heads_file else ())),
                   not without_bodies)  # fmt: skip
    if not place:
        whole = _verify(find(state, folder), asked, ())
    elif state or folder:
        raise click.UsageError("Give one place: a bucket, --state or --folder.")
    else:
        with fetched(place, region, cache, bodies=not without_bodies) as (here, changed):
            whole = _verify(here, asked, changed)
    if not whole:
        raise SystemExit(1)


@dataclass(frozen=True, slots=True)
class _Asked:
    """How to verify: the key list, heads as typed, and whether bodies are looked at."""

    keys: Path | None
    heads: tuple[str, ...]
    with_bodies: bool


def _verify(place: Path, asked: _Asked, changed: Sequence[str]) -> bool:
    """Verify a folder and print what was found; `changed` is what its store knows to have been changed."""
    trusted = read_keys(asked.keys or _keys_beside(place))
    found = scan(place)
    known = _heads(list(asked.heads), found)
    try:
        results = [
            _verify_one(found, source, trusted, known.get(source, {}), asked.with_bodies)
            for source in sorted({*found.sources, *known})
        ]
    except OSError as error:
        raise Unavailable(
            f"{error.filename or place} can't be read ({error.strerror}).",
            not_done="Nothing is proved.",
            advice="Run it as a user who may read the recordings.",
        ) from error
    console = output.console()
    for result in results:
        _report(result, found)
    for path in found.strange[:20]:
        console.print(output.visible(f"Strange: {path} is no part of a recording, or lies there twice."))
    for text in changed[:20]:
        console.print(output.visible(f"Tampering: {text}", one_line=True), style="red")
    if len(changed) > 20:
        console.print(f"… and {len(changed) - 20} more.")
    if not results:
        console.print("There is no sealed record yet.")
    if changed or found.strange or not all(result.whole for result in results):
        console.print("NOT WHOLE", style="bold red")
        return False
    console.print(f"whole: {sum(result.records for result in results)} records", style="bold green")
    return True


def _keys_beside(place: Path) -> Path:
    for candidate in (place / "keys.json", place.parent / "keys.json"):
        if candidate.exists():
            click.echo(f"Trusting {candidate}; --keys names a copy of your own.", err=True)
            return candidate
    return place / "keys.json"


def _heads(texts: list[str], found: Found) -> dict[str, dict[int, str]]:
    """Known heads by source and sequence."""
    known: dict[str, dict[int, str]] = {}
    for text in texts:
        head = _HEAD.fullmatch(text)
        if head is None:
            raise InvalidInput(
                f"{text[:100]!r} is no head.", not_done="Nothing was verified.", advice="Write [SOURCE=]SEQ:HASH."
            )
        source = head["source"] or (next(iter(found.sources)) if len(found.sources) == 1 else "")
        if not source:
            raise InvalidInput(
                "There are several sources, and a head names none.",
                not_done="Nothing was verified.",
                advice=f"Write SOURCE={text}; sources are {', '.join(sorted(found.sources))}.",
            )
        if int(head["sequence"]):
            known.setdefault(source, {})[int(head["sequence"])] = head["hash"]
    return known


def _verify_one(
    found: Found, source: str, keys: dict[str, PublicKey], heads: dict[int, str], with_bodies: bool
) -> SourceResult:
    trust = Trust(keys, heads, with_bodies)
    if source not in found.sources:
        return verify_source(source, (), trust)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TextColumn("{task.completed}/{task.total} segments"))
    console = output.console(stderr=True)
    with Progress(
        *columns, TimeElapsedColumn(), console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        task = progress.add_task(source, total=len(found.sources[source]))

        def counted() -> Iterator[StoredSegment]:
            for segment in segments(found, source):
                yield segment
                progress.advance(task)

        return verify_source(source, counted(), trust)


def _report(result: SourceResult, found: Found) -> None:
    console = output.console()
    reached = f"{result.source}={result.head.sequence}:{result.head.hash}"
    if result.flaw is None:
        line = f"{result.source}: whole, {result.records} records in {result.segments} segments"
        console.print(
            f"{line}, {result.bodies} bodies" + (f", sealed until {result.sealed_at}" * bool(result.segments))
        )
    else:
        console.print(output.visible(f"{result.source}: {result.flaw}", one_line=True), style="red")
        console.print(f"  Up to record {result.head.sequence} everything holds.")
    waiting = found.unsealed(result.source) if result.source in found.sources else []
    if waiting:
        console.print(
            f"  {len(waiting)} segments from record {waiting[0]} on wait for their seal; they are not proved."
        )
    if result.head.sequence:
        console.print(f"  head {reached}")
