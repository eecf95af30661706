"""Calls: signed, dated, bounded; and what each bad answer becomes."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import pytest

from edge_agent.control.client import ControlClient
from edge_agent.control.enrolment import enrol
from edge_agent.control.exchange import HttpAnswer, HttpCall, raise_for
from edge_agent.control.identity import StateFolder, pinned
from edge_agent.net.http import ControlHttp
from edge_agent.secret import Secret
from tests.edge_agent.control.edges import edge_with
from tests.edge_agent.control.fake_control import TOKEN, FakeControl, key_list, serving
from tests.edge_agent.recorder.journals import EDGE, NOW
from twokeys.errors import Conflict, InvalidInput, Refused, TwokeysError, Unavailable
from twokeys.messages import RequestStatus, ResultReport, SpendRequest, WithdrawRequest
from twokeys.record import ChainHead

REQUEST = "req_" + "a" * 26
HEAD = ChainHead(7, "c" * 64)


def test_enrolment_makes_a_key_nobody_else_can_read_and_pins_the_keys(tmp_path: Path) -> None:
    async def play() -> None:
        async with edge_with(tmp_path / "state") as edge:
            assert edge.folder.identity(EDGE).edge_id == EDGE
            with pytest.raises(Refused, match="configuration says edge-9"):
                edge.folder.identity("edge-9")
            assert stat.S_IMODE((tmp_path / "state" / "edge.key").stat().st_mode) == 0o600
            state = edge.folder.state()
            assert state is not None and len(pinned(state.keys)) == 2
            with pytest.raises(Refused, match="enrolled already"):
                await enrol(edge.folder, edge.http, Secret(TOKEN))

    asyncio.run(play())


@pytest.mark.parametrize("fault", ["lose_call", "lose_answer", "500", "garbage"])
def test_an_enrolment_whose_answer_was_lost_is_asked_for_again_with_the_same_key(tmp_path: Path, fault: str) -> None:
    async def play() -> None:
        fake, folder = FakeControl(), StateFolder(tmp_path)
        fake.fail("/v1/edges", fault)
        async with serving(fake):
            http = ControlHttp(fake.url, None, 2.0)
            with pytest.raises(TwokeysError):
                await enrol(folder, http, Secret(TOKEN))
            with pytest.raises(Refused, match="not been enrolled"):
                folder.identity()
            assert await enrol(folder, http, Secret(TOKEN)) == EDGE
            await http.close()
        folder.identity()

    asyncio.run(play())


def test_a_wrong_token_or_another_edge_s_is_refused_and_nothing_is_kept(tmp_path: Path) -> None:
    async def play() -> None:
        async with serving(FakeControl()) as fake:
            http = ControlHttp(fake.url, None, 2.0)
            with pytest.raises(Refused):
                await enrol(StateFolder(tmp_path), http, Secret("other"))
            with pytest.raises(Refused, match="enrols edge-1"):
                await enrol(StateFolder(tmp_path), http, Secret(TOKEN), expected_id="edge-9")
            assert StateFolder(tmp_path).state() is None
            await http.close()

    asyncio.run(play())


def test_a_crash_between_the_two_steps_of_keeping_a_key_is_harmless(tmp_path: Path) -> None:
    async def play() -> None:
        async with edge_with(tmp_path) as edge:
            (tmp_path / "edge.key").rename(tmp_path / "edge.key.new")
            assert edge.folder.identity().edge_id == EDGE

    asyncio.run(play())


def test_an_open_or_malformed_key_file_is_refused(tmp_path: Path) -> None:
    async def play() -> None:
        async with edge_with(tmp_path) as edge:
            (tmp_path / "edge.key").chmod(0o640)
            with pytest.raises(Refused, match="read or changed by others"):
                edge.folder.identity()
            (tmp_path / "edge.key").chmod(0o600)
            for wrong in (b"", b"x", b"x" * 5000):
                (tmp_path / "edge.key").write_bytes(wrong)
                with pytest.raises(TwokeysError):
                    edge.folder.identity()
            (tmp_path / "edge.json").write_bytes(b"{}")
            with pytest.raises(InvalidInput):
                edge.folder.state()

    asyncio.run(play())


def test_every_call_carries_the_head_and_a_fresh_nonce(tmp_path: Path) -> None:
    async def play() -> None:
        async with edge_with(tmp_path, head=lambda: HEAD) as edge:
            fake = edge.fake
            fake.status[REQUEST] = RequestStatus(id=REQUEST, state="approved")
            assert (await edge.client.look(REQUEST)).state == "approved"
            reply, head = await edge.client.spend(REQUEST, SpendRequest(nonce="0" * 32, command_digest="a" * 64))
            assert head == HEAD and reply.key_id == "k"
            await edge.client.result(REQUEST, ResultReport(outcome="done", nonce="0" * 32))
            await edge.client.withdraw(REQUEST, WithdrawRequest(reason="gone"))
            assert fake.heads == [(7, "c" * 64)] * 4 and len(fake.nonces) == 4

    asyncio.run(play())


def test_a_wrong_wall_clock_costs_one_refused_call_and_nothing_else(tmp_path: Path) -> None:
    async def play() -> None:
        for wrong in (NOW - 86_400_000_000, NOW + 86_400_000_000):
            fake = FakeControl(time=wrong)
            async with edge_with(tmp_path / str(wrong), fake) as edge:
                fake.status[REQUEST] = RequestStatus(id=REQUEST, state="approved")
                before = len(fake.calls)
                await edge.client.spend(REQUEST, SpendRequest(nonce="0" * 32, command_digest="a" * 64))
                assert len(fake.calls) == before + 2 and len(fake.bodies[f"spend {REQUEST}"]) == 1
                await edge.client.look(REQUEST)
                assert len(fake.calls) == before + 3
                edge.clocks.wall += 10**12
                edge.clocks.elapsed += 5000
                fake.time += 5000
                await edge.client.look(REQUEST)
                assert len(fake.calls) == before + 4, "the wall clock no longer counts"

    asyncio.run(play())


def test_a_clock_that_can_not_be_mended_is_refused_after_one_retry(tmp_path: Path) -> None:
    async def play() -> None:
        async with edge_with(tmp_path) as edge:
            fake = edge.fake
            fake.time = 0  # no usable time in the answer
            with pytest.raises(Refused) as caught:
                await edge.client.look(REQUEST)
            assert caught.value.code == "clock_skew"
            assert len([one for one in fake.calls if "status" in one]) <= 2

    asyncio.run(play())


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("500", Unavailable),
        ("503", Unavailable),
        ("429", Unavailable),
        ("408", Unavailable),
        ("409", Conflict),
        ("403", Refused),
        ("404", Refused),
        ("400", Refused),
        ("garbage", Unavailable),
        ("oversize", Unavailable),
        ("lose_call", Unavailable),
        ("lose_answer", Unavailable),
        ("slow", Unavailable),
        ("redirect", Unavailable),
    ],
)
def test_each_bad_answer_is_one_of_our_errors(tmp_path: Path, fault: str, kind: type[Exception]) -> None:
    async def play() -> None:
        async with edge_with(tmp_path, seconds=0.5) as edge:
            edge.fake.fail("/v1/requests", fault)
            edge.fake.status[REQUEST] = RequestStatus(id=REQUEST, state="approved")
            with pytest.raises(kind):
                await edge.client.look(REQUEST)
            assert len([one for one in edge.fake.calls if "/v1/requests" in one]) == 1, "nothing is tried twice"
            assert (await edge.client.look(REQUEST)).state == "approved"

    asyncio.run(play())


def test_an_answer_about_another_request_is_no_answer(tmp_path: Path) -> None:
    async def play() -> None:
        async with edge_with(tmp_path) as edge:
            edge.fake.status[REQUEST] = RequestStatus(id="req_" + "b" * 26, state="approved")
            with pytest.raises(Unavailable, match="another request"):
                await edge.client.look(REQUEST)

    asyncio.run(play())


def test_a_dead_control_plane_is_unavailable_at_once(tmp_path: Path) -> None:
    async def play() -> None:
        async with edge_with(tmp_path) as edge:
            dead = ControlHttp("http://127.0.0.1:9", None, 1.0)
            client = ControlClient(edge.folder.identity(), dead, edge.clock, lambda: HEAD)
            with pytest.raises(Unavailable):
                await client.look(REQUEST)
            await dead.close()

    asyncio.run(play())


def test_uploads_go_to_tls_or_back_to_the_control_plane_only(tmp_path: Path) -> None:
    async def play() -> None:
        async with edge_with(tmp_path) as edge:
            file = tmp_path / "file"
            file.write_bytes(b"x" * 700_000)
            for bad in ("http://127.0.0.2:1/put", "ftp://x/put", "file:///etc/passwd", "//other/put"):
                with pytest.raises((Refused, Unavailable)):
                    await edge.http.put_bytes(bad, {}, b"x", 1.0)
            assert await edge.http.put_file("/put/a", {}, file, 5.0)
            assert await edge.http.put_file(f"{edge.fake.url}/put/b", {"x-a": "b"}, file, 5.0)
            assert not await edge.http.put_file("/put/a", {}, file, 5.0), "create only"
            assert edge.fake.stored["/put/a"] == edge.fake.stored["/put/b"] == b"x" * 700_000
            with pytest.raises(Unavailable, match="can't be read"):
                await edge.http.put_file("/put/c", {}, tmp_path / "none", 5.0)

    asyncio.run(play())


def test_an_authority_file_that_can_not_be_read_is_refused(tmp_path: Path) -> None:
    async def play() -> None:
        for path in (tmp_path / "none", tmp_path):
            with pytest.raises(InvalidInput):
                ControlHttp("https://x", path, 1.0)

    asyncio.run(play())


def test_keys_to_pin_must_have_an_approval_key_and_no_edge_s() -> None:
    pinned(key_list())
    for wrong in ([], key_list("seal"), key_list("approval") * 65, [{"key_id": "x"}]):
        with pytest.raises(InvalidInput):
            pinned(wrong)


def test_statuses_that_make_no_sense_are_errors() -> None:
    for status in (100, 199, 300, 302, 307, 599, 999):
        with pytest.raises(Unavailable):
            raise_for(HttpAnswer(status))
    for status in (200, 204, 304):
        raise_for(HttpAnswer(status))


class Answers:
    """A transport that answers one thing."""

    def __init__(self, answer: HttpAnswer) -> None:
        self.answer = answer

    async def exchange(self, call: HttpCall) -> HttpAnswer:
        return self.answer


@pytest.mark.parametrize("time", ["", "-1", "0", "1.5", "9" * 30, "٣", "x"])
def test_nonsense_as_time_is_ignored(tmp_path: Path, time: str) -> None:
    async def play() -> None:
        async with edge_with(tmp_path) as edge:
            before = edge.clock.now()
            answer = HttpAnswer(200, {"twokeys-time": time}, b'{"id":"%s","state":"pending"}' % REQUEST.encode())
            client = ControlClient(edge.folder.identity(), Answers(answer), edge.clock, lambda: HEAD)
            await client.look(REQUEST)
            assert edge.clock.now() == before and not edge.clock.heard_any

    asyncio.run(play())
