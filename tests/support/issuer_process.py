"""A company's issuer as a process of its own: `python -m tests.support.issuer_process FOLDER PERSON…`.

The embedded issuer, at another address. It prints one JSON object: its address and the
passphrases; and ends when its standard input does.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path

from aws_lambda_powertools import Logger
from chalice.app import Chalice

from control_plane.chalicelib.adapters.embedded import issuer as issuer_routes
from control_plane.chalicelib.adapters.embedded.clock import SystemClock
from control_plane.chalicelib.adapters.embedded.gateway import Gateway, Server, make_server
from control_plane.chalicelib.adapters.embedded.issuer import set_passphrase
from control_plane.chalicelib.adapters.embedded.issuer_core import Issuer
from control_plane.chalicelib.adapters.embedded.issuer_store import IssuerStore
from tests.support.no_uploads import no_uploads
from twokeys_cli.postgres import free_port


def main() -> None:
    """Serve until standard input ends."""
    folder, *people = sys.argv[1:]
    store = IssuerStore(Path(folder))
    passphrases = {person: set_passphrase(store, person) for person in people}
    port = free_port()
    issuer = Issuer(f"http://127.0.0.1:{port}", store, time.time)
    app = Chalice(app_name="issuer")
    app.register_blueprint(issuer_routes.blueprint(issuer))
    gateway = Gateway(app, no_uploads(), SystemClock(), Logger(service="issuer"))
    server = make_server(gateway, no_uploads(), Server(port=port, threads=8))
    threading.Thread(target=server.run, daemon=True).start()
    print(json.dumps({"issuer": issuer.url, "passphrases": passphrases}), flush=True)
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    main()
