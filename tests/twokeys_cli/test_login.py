"""Sign-in from a terminal: PKCE, state and nonce hold, and the token is the user's alone."""

from __future__ import annotations

import socket
import stat
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
from click.testing import CliRunner, Result

from tests.twokeys_cli.control_server import Server, serving
from twokeys.errors import InvalidInput, Refused, TwokeysError, Unavailable
from twokeys_cli.api import SignIn, TokenFile, checked_url, signed_in
from twokeys_cli.confirm import Terminal
from twokeys_cli.login import Flow, login


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("TWOKEYS_CONFIG", str(tmp_path / "config"))
    with serving() as known:
        yield known


def run(server: Server, *arguments: str, word: str = "open sesame") -> Result:
    return CliRunner().invoke(login, [server.url, *arguments], input=word + "\n")


def failed(result: Result) -> TwokeysError:
    assert isinstance(result.exception, TwokeysError), result.output
    return result.exception


def test_a_passphrase_from_standard_input_signs_in_without_a_browser(server: Server, tmp_path: Path) -> None:
    result = run(server, "--name", "rob", "--passphrase-stdin")
    assert result.exit_code == 0, (result.output, result.exception)
    assert "token-of-rob" not in result.output
    file = tmp_path / "config" / "sign-in.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert signed_in("", None).token == "token-of-rob"
    assert "token-of-rob" not in repr(TokenFile(tmp_path / "config").load())


def test_the_browser_s_way_comes_back_to_this_machine(server: Server) -> None:
    seen: list[str] = []

    def browse(address: str) -> bool:
        flow_back = {}
        query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(address).query))
        server.codes["code-1"] = query
        flow_back.update({"code": "code-1", "state": query["state"]})
        back = query["redirect_uri"]

        def fetch() -> None:
            for path in (
                f"{back.removesuffix('/callback')}/favicon.ico",
                f"{back}?{urllib.parse.urlencode(flow_back)}",
            ):
                try:
                    with urllib.request.urlopen(path, timeout=10) as page:
                        seen.append(page.read().decode())
                except urllib.error.HTTPError as error:
                    seen.append(str(error.code))

        Thread(target=fetch).start()
        return True

    result = CliRunner().invoke(login, [server.url], obj=Terminal(True, browse))
    assert result.exit_code == 0, (result.output, result.exception)
    assert seen[0] == "404"
    assert signed_in(server.url, None).token == "token-of-rob"


def test_a_wrong_passphrase_is_refused_and_nothing_is_kept(server: Server, tmp_path: Path) -> None:
    assert isinstance(failed(run(server, "--name", "rob", "--passphrase-stdin", word="wrong")), Refused)
    assert not (tmp_path / "config" / "sign-in.json").exists()
    with pytest.raises(Refused, match="not signed in"):
        signed_in("", None)


def test_a_token_of_another_sign_in_is_refused(server: Server) -> None:
    server.nonce = "somebody-else-s"
    assert "not of this sign-in" in str(failed(run(server, "--name", "rob", "--passphrase-stdin")))


def test_an_issuer_that_calls_itself_another_is_refused(server: Server) -> None:
    server.issuer = "https://evil.example"
    assert isinstance(failed(run(server, "--name", "rob", "--passphrase-stdin")), Refused)


def test_a_control_plane_s_word_sends_no_passphrase_to_another_host(server: Server) -> None:
    """A control plane that was taken over would name an issuer of its own, and collect passphrases."""
    with serving() as other:
        server.told = f"{other.url}/issuer"
        error = failed(run(server, "--name", "rob", "--passphrase-stdin"))
        assert isinstance(error, Refused) and "not sent" in error.not_done
        assert other.codes == {}
        named = ["--issuer", f"{other.url}/issuer", "--name", "rob", "--passphrase-stdin"]
        assert run(server, *named).exit_code == 0, "a person may name it"


@pytest.mark.parametrize(
    "told", [(404, {}), (401, {}), (500, {}), (200, []), (200, {"issuer": "https://a.example"}),
             (200, {"issuer": "x" * 20_000, "client_id": "c"})],
)  # fmt: skip
def test_what_does_not_say_how_to_sign_in_is_no_control_plane(server: Server, told: tuple[int, object]) -> None:
    server.answers["/.well-known/twokeys"] = told
    assert isinstance(failed(run(server, "--name", "rob", "--passphrase-stdin")), InvalidInput | Unavailable)


def test_an_issuer_without_tls_is_not_gone_to(server: Server) -> None:
    server.told = "http://issuer.example"
    assert isinstance(failed(CliRunner().invoke(login, [server.url])), InvalidInput)


def test_client_scope_and_port_are_what_the_control_plane_says(server: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        facts = {"issuer": f"{server.url}/issuer", "client_id": "cli-1", "scope": "openid email", "newer": 1,
                 "ports": [taken.getsockname()[1], port]}  # fmt: skip
        server.answers["/.well-known/twokeys"] = (200, facts)
        asked: list[dict[str, str]] = []

        def browse(address: str) -> bool:
            query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(address).query))
            asked.append(query)
            server.codes["code-1"] = query
            back = f"{query['redirect_uri']}?{urllib.parse.urlencode({'code': 'code-1', 'state': query['state']})}"
            Thread(target=lambda: urllib.request.urlopen(back, timeout=10).close()).start()
            return True

        result = CliRunner().invoke(login, [server.url], obj=Terminal(True, browse))
        assert result.exit_code == 0, (result.output, result.exception)
    assert (asked[0]["client_id"], asked[0]["scope"]) == ("cli-1", "openid email")
    assert asked[0]["redirect_uri"] == f"http://127.0.0.1:{port}/callback"


def test_no_free_port_is_said(server: Server) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        facts = {"issuer": f"{server.url}/issuer", "client_id": "c", "ports": [taken.getsockname()[1]]}
        server.answers["/.well-known/twokeys"] = (200, facts)
        assert "loopback ports" in str(failed(CliRunner().invoke(login, [server.url], obj=Terminal(True, bool))))


def test_a_redirect_with_another_state_or_an_error_is_refused() -> None:
    flow = Flow("http://127.0.0.1:1/callback")
    assert flow.code(f"/callback?code=c&state={flow.state}") == "c"
    for query in ("code=c", "code=c&state=x", f"state={flow.state}", f"error=access_denied&state={flow.state}"):
        with pytest.raises(Refused):
            flow.code("/callback?" + query)
    mixed = Flow("http://127.0.0.1:1/callback", "https://a.example")
    assert mixed.code(f"/callback?code=c&state={mixed.state}&iss=https://a.example") == "c"
    for iss in ("", "&iss=https://b.example"):
        with pytest.raises(Refused):
            mixed.code(f"/callback?code=c&state={mixed.state}{iss}")
    other = Flow("http://127.0.0.1:1/callback")
    assert len({flow.state, flow.nonce, flow.verifier, other.state, other.nonce, other.verifier}) == 6


def test_a_token_file_that_others_can_read_is_not_used(tmp_path: Path) -> None:
    file = TokenFile(tmp_path / "c")
    file.keep("https://a.example", SignIn("t"))
    file.path.chmod(0o644)
    with pytest.raises(Refused, match="read by others"):
        file.load()
    file.keep("https://a.example", SignIn("t2"))
    assert file.load().sign_ins["https://a.example"].token == "t2"
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    file.path.write_text("{")
    with pytest.raises(InvalidInput):
        file.load()


def test_an_ended_sign_in_is_not_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWOKEYS_CONFIG", str(tmp_path))
    TokenFile(tmp_path).keep("https://a.example", SignIn("t", 1))
    with pytest.raises(Refused, match="not signed in"):
        signed_in("https://a.example", None)


@pytest.mark.parametrize("url", ["", "a.example", "http://a.example", "ftp://a", "http://127.0.0.1.a.example",
                                 "https://", "https://a.example?x=1", "file:///etc/passwd"])  # fmt: skip
def test_a_token_goes_over_tls_or_stays_on_this_machine(url: str) -> None:
    with pytest.raises(InvalidInput):
        checked_url(url)


def test_nobody_there_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWOKEYS_CONFIG", str(tmp_path))
    with serving() as gone:
        pass
    assert isinstance(failed(run(gone, "--name", "rob", "--passphrase-stdin")), Unavailable)
