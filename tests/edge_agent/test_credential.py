"""A password that was replaced is read anew once the server refuses the old one, and not more often than need be."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from edge_agent.credential import RENEW_SECONDS, Credential
from edge_agent.secret import Secret, secret_from_file
from twokeys.errors import Refused, Unavailable

said: list[str] = []


class Kept:
    """A secret kept somewhere, and how often it was read."""

    def __init__(self, value: str) -> None:
        self.value, self.reads, self.now = value, 0, 100.0

    async def read(self) -> Secret:
        self.reads += 1
        return Secret(self.value)

    def clock(self) -> float:
        return self.now


def test_a_known_password_is_not_read() -> None:
    kept = Kept("new")
    assert asyncio.run(Credential(kept.read, Secret("old"), said.append, kept.clock).current()) == Secret("old")
    assert kept.reads == 0


def test_an_unknown_one_is_read_once_for_all() -> None:
    kept = Kept("only")

    async def play() -> None:
        credential = Credential(kept.read, Secret(""), said.append, kept.clock)
        assert set(await asyncio.gather(*(credential.current() for _ in range(5)))) == {Secret("only")}

    asyncio.run(play())
    assert kept.reads == 1


def test_a_refused_one_is_read_anew_by_whoever_comes_first() -> None:
    kept = Kept("new")

    async def play() -> None:
        credential = Credential(kept.read, Secret("old"), said.append, kept.clock)
        found = await asyncio.gather(*(credential.newer(Secret("old")) for _ in range(5)))
        assert found == [Secret("new")] * 5
        assert await credential.current() == Secret("new")

    asyncio.run(play())
    assert kept.reads == 1


def test_the_same_password_is_not_tried_again_nor_read_without_end() -> None:
    kept = Kept("old")

    async def play() -> None:
        credential = Credential(kept.read, Secret("old"), said.append, kept.clock)
        for _ in range(5):
            assert await credential.newer(Secret("old")) is None
        assert kept.reads == 1
        kept.value, kept.now = "new", kept.now + RENEW_SECONDS
        assert await credential.newer(Secret("old")) == Secret("new")

    asyncio.run(play())


def test_a_caller_is_not_told_why_it_can_not_be_read() -> None:
    said.clear()

    async def read() -> Secret:
        raise Refused("The secret prod/db is of another role.", not_done="No session was begun.")

    with pytest.raises(Unavailable) as caught:
        asyncio.run(Credential(read, Secret(""), said.append).current())
    assert "prod/db" in said[0] and "prod/db" not in str(caught.value)


def test_a_file_is_read_as_it_stands_now(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text("old\n")
    path.chmod(0o600)
    secret = secret_from_file(path)
    path.write_text("new\n")
    assert (secret.reveal(), secret.read_again().reveal(), secret.read_again().read_again().reveal()) == (
        "old", "new", "new",
    )  # fmt: skip
