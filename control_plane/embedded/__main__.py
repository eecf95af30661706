"""`python -m control_plane.embedded bootstrap | serve`: the control plane on one machine."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from pathlib import Path
from types import FrameType

from control_plane.chalicelib.adapters.embedded.deployment import Deployment
from control_plane.chalicelib.adapters.embedded.first_start import Wanted, bootstrap
from control_plane.chalicelib.adapters.embedded.gateway import Gateway, Server, make_server
from control_plane.chalicelib.adapters.embedded.uploads import Uploads
from twokeys.errors import TwokeysError


def serve(state: Path, where: Server) -> None:
    """Serve a deployment until SIGTERM or SIGINT."""
    deployment = Deployment(state, most_waiters=max(1, where.threads // 2))
    store = deployment.store
    uploads = Uploads(store.recordings, store.tickets)
    gateway = Gateway(deployment.app, uploads, store.ports.clock, deployment.logger)
    server = make_server(gateway, uploads, where)
    deployment.start()

    def end(_signal: int, _frame: FrameType | None) -> None:
        store.waker.close()
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    print(f"listening on http://{where.host}:{server.effective_port}", flush=True)
    try:
        # Its loop ends by SystemExit, and waits for requests under way.
        server.run()
    finally:
        server.close()
        deployment.stop()


def main() -> None:
    """Parse the command line and do it."""
    parser = argparse.ArgumentParser(prog="python -m control_plane.embedded", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    first = commands.add_parser("bootstrap", help="make a deployment in an empty folder; prints one JSON object")
    first.add_argument("--state", type=Path, required=True)
    first.add_argument("--public-url", required=True)
    first.add_argument("--target", default="sample-db")
    server = commands.add_parser("serve", help="serve a deployment")
    server.add_argument("--state", type=Path, required=True)
    server.add_argument("--host", default="127.0.0.1")
    server.add_argument("--port", type=int, default=0)
    server.add_argument("--threads", type=int, default=64)
    options = parser.parse_args()
    os.umask(0o077)
    try:
        if options.command == "bootstrap":
            print(json.dumps(bootstrap(options.state, Wanted(options.public_url.rstrip("/"), options.target))))
        else:
            serve(options.state, Server(options.host, options.port, options.threads))
    except TwokeysError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
