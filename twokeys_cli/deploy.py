"""Bring a whole deployment up in one State folder; each step can be resumed when an earlier start was cut off.

    postgres ─▶ sample data ─▶ control plane: bootstrap, serve ─▶ Edge: enrol, run

As root each part has a user of its own. The folders that we write into stay ours, so that no part can make us write
elsewhere; what a part keeps lies below, in a folder that is the part's alone.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from twokeys.errors import Conflict, InvalidInput
from twokeys_cli import parts
from twokeys_cli.postgres import PostgresServer, wheel_binaries
from twokeys_cli.reach import give, passable_by
from twokeys_cli.sample import DATABASE, EDGE_ROLE, SEARCH_PATH, create_sample, sample_exists
from twokeys_cli.state import UIDS, Caller, Kept, StateFolder, Upstream, new_users, pick_port
from twokeys_cli.supervise import Supervisor

TARGET = "sample-db"
"""The target's id at the control plane, unless another is named."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a start was asked for.

    Args:
        target: The target's id; fixed by the first start.
        upstream: The database behind the Edge; None for the throw-away one.
        upstream_password: Its role's password.
        control_port: Wanted at the first start; another free one where it is taken.
        edge_port: The same, at each start.
        tuning: What the demonstration sets differently.
        programs: How the halves are called.
        postgres_settings: The same for the throw-away database.
    """

    target: str = TARGET
    upstream: Upstream | None = None
    upstream_password: str = field(default="", repr=False)
    control_port: int = 8443
    edge_port: int = 6432
    tuning: parts.Tuning = field(default_factory=parts.Tuning)
    programs: parts.Programs = field(default_factory=parts.Programs)
    postgres_settings: Mapping[str, str] = field(default_factory=dict)


class Deployment:
    """One start on a held State folder: `bring_up` runs the steps, the supervisor keeps the parts."""

    def __init__(self, folder: StateFolder, supervisor: Supervisor, wanted: Wanted, say: Callable[[str], None]) -> None:
        self.folder = folder
        self.supervisor = supervisor
        self.wanted = wanted
        self.say = say
        loaded = folder.load()
        self.first = loaded is None
        self.kept = loaded or self._begin()
        self.parts = parts.Parts(folder, self.kept, wanted.programs)

    def bring_up(self) -> None:
        """Start everything, in order.

        Raises:
            TwokeysError: A part did not start; the parts that run are the supervisor's to stop.
            Stopped: We were told to stop meanwhile.
        """
        self._check_folder()
        self._take_ports()
        if self.wanted.upstream is None:
            self._start_postgres()
        else:
            self.kept.upstream = self.wanted.upstream
            self._secret(self.folder.edge / "upstream.password", self.wanted.upstream_password, self.kept.users.edge)
        self.folder.save(self.kept)
        self._start_control()
        self._start_edge()

    def shown(self) -> None:
        """Forget the passphrases: a person has seen them."""
        self.kept.unshown = []
        self.folder.save(self.kept)

    @property
    def caller(self) -> Caller:
        """The sample caller's credential; there once the control plane was bootstrapped."""
        assert self.kept.caller is not None  # noqa: S101
        return self.kept.caller

    @property
    def upstream(self) -> Upstream:
        """The database behind the Edge; there once it runs."""
        assert self.kept.upstream is not None  # noqa: S101
        return self.kept.upstream

    def _begin(self) -> Kept:
        return Kept(
            users=new_users(parts.closed_to(UIDS[0]) is None),
            control_port=pick_port(self.wanted.control_port),
            edge_port=pick_port(self.wanted.edge_port),
            postgres_port=pick_port(0),
        )

    def _check_folder(self) -> None:
        uid = self.kept.users.postgres
        if uid is None and os.geteuid() == 0:
            raise InvalidInput(
                f"{self.folder.path} was begun by another user than root.",
                not_done="Nothing was started.",
                advice="Start it as that user, or name another folder with --state.",
                code="foreign_state",
            )
        if uid is not None and not passable_by(self.folder.path, uid):
            raise InvalidInput(
                f"Started as root, the parts run as users of their own, and those can't reach {self.folder.path}.",
                not_done="Nothing was started.",
                advice="Name a folder whose parents everybody may pass: --state /var/lib/twokeys/trial",
                code="unreachable_state",
            )
        self._own_folder(self.folder.edge, None)
        self._own_folder(self.folder.edge / "state", self.kept.users.edge)

    def _take_ports(self) -> None:
        kept = self.kept
        if pick_port(kept.control_port) != kept.control_port:
            raise Conflict(
                f"Port {kept.control_port} of 127.0.0.1, the control plane's address, is taken by another program.",
                not_done="Nothing was started.",
                advice="Stop that program (see it with: ss -ltnp), or begin anew with another --state.",
                code="port_taken",
            )
        kept.edge_port = pick_port(kept.edge_port)
        kept.postgres_port = pick_port(kept.postgres_port)

    def _start_postgres(self) -> None:
        server = PostgresServer(
            self.folder.postgres, wheel_binaries(), self.kept.users.postgres, self.wanted.postgres_settings
        )
        if not server.created():
            self.say("Making a throw-away PostgreSQL with sample data …")
        server.create()
        server.port = self.kept.postgres_port
        self.supervisor.start(self.parts.database(server, server.port))
        password = self.folder.edge / "upstream.password"
        if not sample_exists(server):
            secret = secrets.token_urlsafe(24)
            self._secret(password, secret, self.kept.users.edge)
            create_sample(server, secret)
        self.kept.upstream = Upstream(
            host="127.0.0.1", port=server.port, database=DATABASE, user=EDGE_ROLE, search_path=SEARCH_PATH
        )

    def _start_control(self) -> None:
        unfinished = self.folder.path / "control.unfinished"
        if self.kept.caller is None:
            self.say("Making the control plane's keys, starter policy and sample people …")
            shutil.rmtree(unfinished, ignore_errors=True)
            self._own_folder(unfinished, self.kept.users.control)
            printed = self.supervisor.run_once(self.parts.bootstrap(unfinished, self.wanted.target))
            facts = parts.read_bootstrap(printed)
            self.kept.caller = Caller(
                name=facts.credential.caller, target=facts.credential.target, password=facts.credential.password
            )
            self.kept.unshown = facts.people
            self.kept.enrolment_token = facts.edge.token
            self.folder.save(self.kept)
        if unfinished.exists():
            unfinished.rename(self.folder.control)
        self.supervisor.start(self.parts.serve())

    def _start_edge(self) -> None:
        text = self.parts.edge_toml(self.caller.target, self.upstream, self.wanted.tuning)
        self._secret(self.folder.edge / "edge.toml", text, self.kept.users.edge)
        if self.kept.enrolment_token is not None:
            self.supervisor.run_once(self.parts.enrol(self.kept.enrolment_token))
            self.kept.enrolment_token = None
            self.folder.save(self.kept)
        self.supervisor.start(self.parts.run_edge())

    def _own_folder(self, path: Path, uid: int | None) -> None:
        """A folder that is one part's alone, or ours and to be passed by all parts."""
        path.mkdir(mode=0o700, exist_ok=True)
        if uid is not None:
            os.chown(path, uid, uid, follow_symlinks=False)
        elif os.geteuid() == 0:
            path.chmod(0o711)

    def _secret(self, path: Path, text: str, uid: int | None) -> None:
        """Write a file for one part's eyes, in a folder of ours."""
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
        if uid is not None:
            give(path, uid)
