"""Which user id can reach which path: for running parts of `twokeys up` as users of their own."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def reachable_by(path: Path, uid: int) -> bool:
    """Whether a process of user and group id `uid`, in no other group, can pass to `path` and read it."""
    path = path.resolve()
    if not passable_by(path.parent, uid):
        return False
    status = path.stat()
    wanted = stat.S_IROTH | (stat.S_IXOTH if stat.S_ISDIR(status.st_mode) else 0)
    return _may(status, uid, wanted)


def passable_by(folder: Path, uid: int) -> bool:
    """Whether such a process can pass through `folder` and every folder above it."""
    folder = folder.resolve()
    return all(_may(each.stat(), uid, stat.S_IXOTH) for each in (folder, *folder.parents))


def give(path: Path, uid: int) -> None:
    """Make user and group id `uid` the owner of `path` and all below it, links not followed."""
    os.chown(path, uid, uid, follow_symlinks=False)
    if path.is_dir() and not path.is_symlink():
        for child in path.iterdir():
            give(child, uid)


def _may(status: os.stat_result, uid: int, wanted: int) -> bool:
    """`wanted` in the bits for others; the owner's and the group's are the same, shifted."""
    if status.st_uid == uid:
        wanted <<= 6
    elif status.st_gid == uid:
        wanted <<= 3
    return status.st_mode & wanted == wanted
