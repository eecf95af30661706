"""Brings recordings from their bucket to this machine, so that they are verified offline like any other.

    list every version ──▶ the first version of each name ──▶ fetch what the cache lacks ──▶ a folder as `scan` reads it
                     └──▶ later versions and deletions: told, for nothing of ours makes them

Names are written once: no version but the first can be evidence, and a second one is somebody's try to change it. The
bucket's word is not believed for anything else: the chain and the seals prove what was fetched.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from twokeys.errors import InvalidInput, Unavailable
from twokeys.segment_files import MAX_BODIES_BYTES, MAX_LINES_BYTES
from twokeys.verify_chain import MAX_SEAL_FILE_BYTES
from twokeys_cli.aws_clients import told
from twokeys_cli.recordings import MAX_KEYS_BYTES

MAX_OBJECTS: Final = 5_000_000
"""Most versions that are listed: some 1,700,000 Segments."""

MAX_STRANGE: Final = 1000
"""Most strange names kept for telling."""

WORKERS: Final = 8
CHUNK_BYTES: Final = 1024 * 1024

MAX_BYTES: Final = {
    "seals": MAX_SEAL_FILE_BYTES, "lines": MAX_LINES_BYTES, "bodies": MAX_BODIES_BYTES, "keys.json": MAX_KEYS_BYTES,
}  # fmt: skip
"""Longest object fetched, by kind. A longer one is told as strange, and then missing."""

_ADDRESS: Final = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(.*))?", re.ASCII | re.DOTALL)
_NAME: Final = re.compile(
    r"(?P<kind>seals|lines|bodies)/dt=\d{4}-\d{2}-\d{2}/[A-Za-z0-9][A-Za-z0-9._@+-]{0,200}|(?P<keys>keys\.json)",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket and the prefix below which recordings lie; the prefix is empty or ends with a slash."""

    name: str
    prefix: str = ""

    @classmethod
    def parse(cls, address: str) -> Bucket:
        """Read ``s3://bucket/prefix``. Raises InvalidInput."""
        found = _ADDRESS.fullmatch(address)
        if found is None or len(address) > 1200:
            raise InvalidInput(
                f"{address[:100]!r} is no address of a bucket.",
                not_done="Nothing was fetched.",
                advice="Write s3://BUCKET or s3://BUCKET/PREFIX (output RecordingsBucket of the deployment's stack).",
                code="bad_address",
            )
        prefix = (found[2] or "").strip("/")
        return cls(found[1], f"{prefix}/" if prefix else "")


@dataclass(frozen=True, slots=True)
class Object:
    """The first version of one name: `name` is below the prefix."""

    name: str
    version: str
    etag: str
    size: int


@dataclass(slots=True)
class Listing:
    """What lies in the bucket.

    Args:
        objects: First versions of well-formed names.
        changed: What was done to names later, in words: overwritten, deleted.
        strange: Names that are no part of a recording, or too long to be.
        versioned: False when some object was written without versions: overwriting it left no trace.
    """

    objects: list[Object] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)
    versioned: bool = True

    @property
    def bytes(self) -> int:
        """Sum of sizes."""
        return sum(one.size for one in self.objects)


@dataclass(slots=True)
class _Versions:
    """Versions of one key, as the listing gives them: the newest first."""

    seen: list[dict[str, Any]] = field(default_factory=list)


def list_versions(client: Any, bucket: Bucket, tell: Callable[[int], None] = lambda count: None) -> Listing:
    """List every version of every object below the prefix.

    Args:
        client: boto3's client of S3.
        bucket: Where.
        tell: Is told how many versions were listed so far.

    Raises:
        TwokeysError: when the bucket does not exist, may not be listed, or holds too much.
    """
    by_key: dict[str, _Versions] = {}
    count = 0
    pages = client.get_paginator("list_object_versions").paginate(Bucket=bucket.name, Prefix=bucket.prefix)
    with told("S3", "Nothing was fetched."):
        for page in pages:
            for one in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
                by_key.setdefault(str(one["Key"]), _Versions()).seen.append(one)
                count += 1
            tell(count)
            if count > MAX_OBJECTS:
                raise Unavailable(f"There are over {MAX_OBJECTS} versions in the bucket.",
                                  not_done="Nothing was fetched.", advice="Verify by prefix.")  # fmt: skip
    listing = Listing()
    for key, versions in sorted(by_key.items()):
        _judge(listing, key.removeprefix(bucket.prefix), versions)
    return listing


def _judge(listing: Listing, name: str, versions: _Versions) -> None:
    # Oldest first. Of one second, a listing still has the newer one first; deletions come in a list of their own.
    ordered = versions.seen[::-1]
    ordered.sort(key=lambda one: one["LastModified"])
    first = next((one for one in ordered if "Size" in one), None)
    for later in ordered:
        if later is not first:
            what = "overwritten" if "Size" in later else "deleted"
            when = later["LastModified"].strftime("%Y-%m-%dT%H:%M:%SZ")
            listing.changed.append(f"{name} was {what} at {when} (version {later['VersionId']}).")
    found = _NAME.fullmatch(name)
    if first is None:
        return
    if found is None or int(first["Size"]) > MAX_BYTES[found["kind"] or found["keys"]]:
        if len(listing.strange) < MAX_STRANGE:
            listing.strange.append(name)
        return
    listing.versioned = listing.versioned and first["VersionId"] != "null"
    listing.objects.append(Object(name, str(first["VersionId"]), str(first["ETag"]), int(first["Size"])))


@dataclass(frozen=True, slots=True)
class Cache:
    """A private folder in which fetched objects are kept: a version never changes, so neither does its file.

    Args:
        folder: Made with mode 0700 when needed.
    """

    folder: Path

    def path(self, bucket: Bucket, one: Object) -> Path:
        """Where an object's version is kept."""
        said = "\0".join((bucket.name, bucket.prefix, one.name, one.version, one.etag, str(one.size)))
        name = hashlib.sha256(said.encode()).hexdigest()
        return self.folder / "objects" / name[:2] / name

    @contextmanager
    def view(self, client: Any, bucket: Bucket, listing: Listing, tell: Callable[[int], None]) -> Iterator[Path]:
        """A recordings folder with exactly the listed objects; it is gone afterwards, the cache stays.

        Args:
            client: boto3's client of S3.
            bucket: Where they are.
            listing: Which.
            tell: Is told the bytes of each object that is there.

        Raises:
            TwokeysError: when one can't be fetched, or comes with another length than was listed.
        """
        self._make()
        view = self.folder / f"view-{os.getpid()}"
        shutil.rmtree(view, ignore_errors=True)
        try:
            for kind in ("seals", "lines", "bodies"):
                (view / kind).mkdir(parents=True, mode=0o700)

            def bring(one: Object) -> int:
                self._fetch(client, bucket, one)
                (view / one.name).parent.mkdir(exist_ok=True, mode=0o700)
                # A link with a name of its own: `scan` wants plain files.
                (view / one.name).hardlink_to(self.path(bucket, one))
                return one.size

            with ThreadPoolExecutor(WORKERS) as workers:
                try:
                    for size in workers.map(bring, listing.objects):
                        tell(size)
                except BaseException:
                    workers.shutdown(wait=True, cancel_futures=True)
                    raise
            yield view
        finally:
            shutil.rmtree(view, ignore_errors=True)

    def _make(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            private = not self.folder.stat().st_mode & 0o077 and self.folder.stat().st_uid == os.geteuid()
        except OSError as error:
            raise Unavailable(f"The cache {self.folder} can't be made ({error.strerror}).",
                              not_done="Nothing was fetched.",
                              advice="Name another with --cache.") from error  # fmt: skip
        if not private:
            # Whoever may write there could put in what never was in the bucket.
            raise InvalidInput(f"The cache {self.folder} is open to others.", not_done="Nothing was fetched.",
                               advice=f"Run `chmod 700 {self.folder}`, or name another with --cache.")  # fmt: skip

    def _fetch(self, client: Any, bucket: Bucket, one: Object) -> None:
        kept = self.path(bucket, one)
        if kept.exists() and kept.stat().st_size == one.size:
            return
        kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        part = kept.with_name(f"{kept.name}.{os.getpid()}.part")
        with told("S3", "The recordings were not fetched to the end; what is here is kept for the next try."):
            answer = client.get_object(Bucket=bucket.name, Key=bucket.prefix + one.name, VersionId=one.version)
            left = one.size
            try:
                with answer["Body"] as body, part.open("wb") as file:
                    while chunk := body.read(min(CHUNK_BYTES, left + 1)):
                        left -= len(chunk)
                        if left < 0:
                            break
                        file.write(chunk)
                if left:
                    raise Unavailable(f"{one.name} has another length than the bucket lists.",
                                      not_done="Nothing was verified.", advice="Try again.")  # fmt: skip
                part.replace(kept)
            except OSError as error:
                raise Unavailable(f"{one.name} can't be kept ({error.strerror}).", not_done="Nothing was verified.",
                                  advice="Make room, or name another folder with --cache.") from error  # fmt: skip
            finally:
                part.unlink(missing_ok=True)
