"""moto as a process of its own: `python -m tests.support.moto_process`. State machines run, stacks make our types.

It prints where it listens, and ends when its standard input does: a test that is killed leaves nothing behind.
"""

from __future__ import annotations

import os
import sys

import pytest
from moto.core.config import default_user_config
from moto.server import ThreadedMotoServer

from tests.support.aws import CREDENTIALS
from tests.support.cfn_patches import patch_cloudformation
from tests.support.moto_patches import EXECUTING, patch_moto
from twokeys_cli.postgres import free_port


def main() -> None:
    """Serve until standard input ends."""
    port = free_port()
    # Machines call the services they use, and stacks make what they name, by this very server.
    os.environ.update(MOTO_PORT=str(port), AWS_ENDPOINT_URL=f"http://127.0.0.1:{port}", **CREDENTIALS)
    patches = pytest.MonkeyPatch()
    patch_moto(patches)
    patch_cloudformation(patches)
    default_user_config.update(EXECUTING)
    server = ThreadedMotoServer("127.0.0.1", port, verbose=False)
    server.start()
    print(f"listening on http://127.0.0.1:{port}", flush=True)
    sys.stdin.read()
    # Threads of executions that wait don't end by themselves.
    os._exit(0)


if __name__ == "__main__":
    main()
