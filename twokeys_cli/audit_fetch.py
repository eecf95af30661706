"""Shows how far fetching from a bucket is; `audit_s3` fetches."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TextColumn

from twokeys_cli import audit_place, output


@contextmanager
def fetched(address: str, region: str, cache: Path | None, *, bodies: bool) -> Iterator[tuple[Path, Sequence[str]]]:
    """The recordings of a bucket as a folder, and what was done to them after they were written.

    Args:
        address: ``s3://bucket/prefix``.
        region: The bucket's; empty: the AWS settings'.
        cache: Where objects are kept for the next time; None: the user's cache folder.
        bodies: False leaves bodies where they are.

    Raises:
        TwokeysError: when they can't be listed or fetched.
    """
    aws_clients = audit_place.aws()
    # It needs boto3's errors, so it comes after it was looked for.
    from twokeys_cli import audit_s3

    bucket = audit_s3.Bucket.parse(address)
    client = aws_clients.client("s3", region)
    console = output.console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("listing", total=None)
        listing = audit_s3.list_versions(client, bucket, lambda count: bar.update(task, description=f"listed {count}"))
        if not bodies:
            listing.objects = [one for one in listing.objects if not one.name.startswith("bodies/")]
        bar.update(task, description=f"fetching {len(listing.objects)} objects", total=listing.bytes)
        store = audit_s3.Cache(cache or _cache_folder())
        with store.view(client, bucket, listing, lambda size: bar.update(task, advance=size)) as view:
            bar.stop()
            if not listing.versioned:
                click.echo("The bucket keeps no versions: that something was overwritten can't be seen.", err=True)
            yield view, [*listing.changed, *(f"{name} is no part of a recording." for name in listing.strange)]


def _cache_folder() -> Path:
    """The user's, by the XDG base directory specification."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(given) if given.startswith("/") else Path.home() / ".cache") / "twokeys" / "recordings"
