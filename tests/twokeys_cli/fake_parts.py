"""Tiny stand-ins for the control plane and the Edge: real processes that keep the same contract with `twokeys up`.

python fake_parts.py control bootstrap --state DIR --public-url URL --target NAME
python fake_parts.py control serve --state DIR --host HOST --port N
python fake_parts.py edge enrol --config FILE --token TOKEN
python fake_parts.py edge run --config FILE
python fake_parts.py up STATE                     `twokeys up` with these two, on free ports
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socketserver
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NoReturn

TOKEN = "one-time"


class Health(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/healthz" else 404)
        self.end_headers()


def control(action: str, options: argparse.Namespace) -> None:
    state = Path(options.state)
    marker = state / "store"
    if action == "bootstrap":
        if marker.exists():
            sys.exit("already bootstrapped")
        marker.write_text(options.public_url)
        print(
            json.dumps(
                {
                    "public_url": options.public_url,
                    "people": [{"id": "ann", "passphrase": "a-1"}, {"id": "rob", "passphrase": "r-1"}],
                    "edge": {"edge_id": "edge-1", "token": TOKEN},
                    "credential": {"caller": "agent-7", "target": options.target, "password": "c-1"},
                }
            )
        )
        return
    assert marker.read_text().endswith(f":{options.port}")
    serve(ThreadingHTTPServer((options.host, options.port), Health), "control")


def edge(action: str, options: argparse.Namespace) -> None:
    from edge_agent.config import load

    config = load(Path(options.config), os.environ)
    key = config.edge.state_dir / "key"
    if action == "enrol":
        if options.token != TOKEN or key.exists():
            sys.exit("the token was used or is foreign")
        key.write_text("key")
        return
    assert key.exists()
    assert config.postgres[0].upstream_password.reveal()
    serve(
        socketserver.TCPServer(("127.0.0.1", config.postgres[0].listen_port), socketserver.BaseRequestHandler), "edge"
    )


def serve(server: socketserver.BaseServer, name: str) -> NoReturn:
    def end(*_: object) -> NoReturn:
        print(f"{name} ends", flush=True)
        os._exit(0)

    signal.signal(signal.SIGTERM, end)
    print(f"{name} runs as {os.getuid()}, input {sys.stdin.read(1)!r}", flush=True)
    server.serve_forever()
    raise AssertionError("serve_forever ended")


def up(state: Path) -> None:
    from twokeys_cli.deploy import Wanted
    from twokeys_cli.parts import Programs
    from twokeys_cli.postgres import UNSAFE_FAST
    from twokeys_cli.up import run

    me = (sys.executable, str(Path(__file__)))
    wanted = Wanted(
        control_port=0,
        edge_port=0,
        programs=Programs(control=(*me, "control"), edge=(*me, "edge")),
        postgres_settings=UNSAFE_FAST,
    )
    run(state, wanted)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("part")
    parser.add_argument("action")
    for text in ("--state", "--public-url", "--target", "--host", "--config", "--token"):
        parser.add_argument(text)
    parser.add_argument("--port", type=int)
    options = parser.parse_args()
    match options.part:
        case "control":
            control(options.action, options)
        case "edge":
            edge(options.action, options)
        case _:
            up(Path(options.action))


if __name__ == "__main__":
    from twokeys.errors import TwokeysError

    try:
        main()
    except TwokeysError as error:
        sys.exit(str(error))
