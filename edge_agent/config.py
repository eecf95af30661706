"""The Edge's configuration: one TOML file, every limit in it, each field documented where it is defined.

    [edge]        who this is and where its state lies
    [control]     how to reach the control plane
    [recorder]    the journal
    [limits]      what callers may cost
    [[postgres]]  one per target: where to listen, where to forward

Unknown keys, wrong types and rules that could never apply are refused by name and line. Secrets stand in files or
environment variables, never here. Nobody else reads the environment.
"""

# ruff: noqa: RUF009 - `setting` returns a dataclass field, which the linter can't know.
from __future__ import annotations

import dataclasses
import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from edge_agent.config_toml import ConfigError, KeyPath, TomlSource, keys_of, setting
from edge_agent.secret import Secret
from twokeys.edge_call import MAX_WORKERS

MAX_TARGETS: Final = 64
"""Most [[postgres]] sections in one file."""

_READER: Final = re.compile(r"[^\s.(]+\.[^(]+\([^()]*(\([^()]*\)[^()]*)*\) (sha256:)?[0-9a-fA-F]{64}")
_ID: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._@+-")


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeSection:
    """Who this Edge is and where its state lies."""

    state_dir: Path = setting("Folder of the Edge's key, Bundle and journal; made with mode 0700.")
    id: str = setting(
        "The Edge's id as enrolled; given, it must match, so that two state folders are not mixed up.", ""
    )
    workers: int = setting(
        "Processes that have the sessions, behind the same ports, each of use with a core of its own; 1: this process "
        "alone.", 1, low=1, high=MAX_WORKERS
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlSection:
    """How to reach the control plane."""

    url: str = setting("Address of the control plane: https, or http to a loopback address.")
    ca_file: Path | None = setting("PEM file with the only authorities trusted for `url`; the system's without.", None)
    connect_seconds: int = setting("Longest wait for a connection, TLS included.", 5, low=1, high=60)
    call_seconds: int = setting("Longest wait for an answer, long polls aside.", 15, low=1, high=120)
    upload_seconds: int = setting("Longest wait for one upload of a Segment or a long Command.", 300, low=1, high=3600)
    bundle_seconds: int = setting(
        "Seconds between looks for a newer Bundle; 0: as the control plane asks (15 on one machine, 900 on AWS).",
        0, high=3600,
    )  # fmt: skip
    look_seconds: int = setting(
        "Seconds between looks at each open Request, should a wake-up be lost.", 15, low=1, high=300
    )
    stale_read_seconds: int = setting(
        "Seconds for which reads still pass once the Bundle's `not_after` is over.", 3600, high=30 * 86400
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RecorderSection:
    """The journal: how it is cut, synced and kept."""

    segment_bytes: int = setting(
        "A Segment is closed when its lines and bodies reach this many bytes.",
        16 * 2**20,
        low=64 * 1024,
        high=128 * 2**20,
    )
    segment_seconds: int = setting("A Segment with records is closed at this age.", 30, low=1, high=86400)
    sync_milliseconds: int = setting(
        "Longest time a record waits for its background fsync to begin.", 50, low=1, high=100
    )
    keep_seconds: int = setting("How long a Segment stays here after its Seal was verified.", 86400, high=3660 * 86400)
    low_disk_bytes: int = setting("With less free disk than this, writes are denied.", 512 * 2**20)
    exhausted_disk_bytes: int = setting("With less free disk than this, sessions end.", 128 * 2**20)
    max_body_bytes: int = setting(
        "Longest body of one record before encryption.", 32 * 2**20, low=1024, high=63 * 2**20
    )
    retry_seconds: int = setting("Longest pause between two tries of an upload.", 60, low=1, high=3600)


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitsSection:
    """What callers may cost."""

    max_connections: int = setting("Connections at once, of all targets.", 6000, low=1, high=1_000_000)
    max_starting: int = setting("Connections at once that have not signed in yet.", 500, low=1, high=1_000_000)
    max_starting_per_address: int = setting(
        "The same of one address (IPv6: one /64), so that one can't take all places; the newest is refused.",
        250,
        low=1,
        high=1_000_000,
    )
    start_seconds: int = setting("Longest time from connecting to being signed in.", 30, low=1, high=600)
    max_failed_sign_ins: int = setting(
        "Failed sign-ins of one kind recorded at once; then one in ten seconds, with the number left out.",
        20,
        low=1,
        high=10_000,
    )
    message_seconds: int = setting(
        "How long a message that a caller began may take, and a second more for each 64 KiB of it that came; then "
        "the session ends.", 60, low=1, high=86400
    )  # fmt: skip
    max_message_bytes: int = setting(
        "Longest message of a caller; longer ones end the session.", 16 * 2**20, low=64 * 1024, high=2**30 - 1
    )
    max_held_bytes: int = setting(
        "Bytes of a caller kept unread-ahead while its Command is held.", 2**20, low=64 * 1024, high=2**30 - 1
    )
    max_statements: int = setting("Prepared statements and portals of one session.", 10_000, low=10, high=1_000_000)
    max_copy_bytes: int = setting(
        "Bytes of one held COPY FROM STDIN; one that policy allows passes through.", 256 * 2**20, low=1024
    )
    max_copied_bytes: int = setting(
        "Bytes that held COPYs of all callers keep together, encrypted, in `state_dir`.", 2 * 2**30, low=1024
    )
    max_verdicts: int = setting(
        "Classified texts remembered, least recently used first out.", 4096, low=1, high=1_000_000
    )
    max_open_requests: int = setting("Commands held at once.", 5000, low=1, high=100_000)
    max_open_per_caller: int = setting("Commands of one caller held at once.", 100, low=1, high=100_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresSection:
    """One PostgreSQL target: where to listen, where to forward."""

    target: str = setting("Target id, as the control plane knows it.")
    listen_host: str = setting("Address to listen on; anything but loopback needs TLS.", "127.0.0.1")
    listen_port: int = setting("Port to listen on; 0 takes a free one.", 6432, high=65535)
    tls_cert_file: Path | None = setting("PEM certificate chain shown to callers.", None)
    tls_key_file: Path | None = setting("PEM key of that certificate.", None)
    allow_plaintext: bool | None = setting(
        "Whether callers may come without TLS; only on loopback, where it is the default.", None
    )
    upstream_host: str = setting("The server: a name, an address, or the folder of its Unix socket.")
    upstream_port: int = setting("The server's port.", 5432, low=1, high=65535)
    upstream_user: str = setting("Role that the Edge signs in as; give it the least it needs.")
    upstream_password: Secret = setting("That role's password.", Secret(""))
    upstream_password_secret: str = setting(
        "ARN or name of that password in AWS Secrets Manager, instead of a file or variable.", ""
    )
    upstream_database: str = setting("The database that callers reach.")
    upstream_tls: str = setting(
        "TLS to the server: verify-full, or off (loopback and Unix sockets only, and the default there).",
        "",
        choices=("verify-full", "off"),
    )
    upstream_ca_file: Path | None = setting("PEM file with the authorities trusted for the server.", None)
    upstream_cert_file: Path | None = setting("PEM certificate that the Edge shows the server.", None)
    upstream_key_file: Path | None = setting("PEM key of that certificate.", None)
    upstream_require_binding: bool = setting(
        "Refuse a server that can't bind its sign-in to its certificate (SCRAM-SHA-256-PLUS).", False
    )
    upstream_trust: bool = setting("Accept a server that asks for no password.", False)
    search_path: str = setting("search_path of every session; the classifier assumes it.", "public")
    mask_key: Secret = setting(
        "Key of the hashes that callers see instead of values; the same at each Edge of a deployment, so that equal "
        "values stay equal. Without one such values are redacted.", Secret("")
    )  # fmt: skip
    column_seconds: int = setting(
        "Seconds between looks at which tables and views show classified columns, for what is changed not through "
        "this Edge.", 60, low=1, high=86400
    )  # fmt: skip
    hold_seconds: int = setting("How long a Command waits for people.", 600, low=1, high=86400)
    in_transaction_hold_seconds: int = setting(
        "The same inside the caller's own transaction, which keeps locks.", 120, low=1, high=86400
    )
    heartbeat_seconds: int = setting(
        "Seconds between signs of life to a caller whose Command is held.", 15, low=1, high=3600
    )
    catalogue_seconds: int = setting(
        "Seconds between looks at what functions, views and operators of users are made of; 0: never looked at, and "
        "all calls of users' functions are held.",
        30,
        high=3600,
    )
    readers: tuple[str, ...] = setting(
        "Functions that read only by your word, each as `schema.name(types) SHA-256`, where the digest is that of "
        "pg_get_functiondef with an empty search_path: another definition is another function.",
        (),
        high=1000,
    )
    connect_seconds: int = setting("Longest wait until a session with the server stands.", 10, low=1, high=300)

    @property
    def plaintext(self) -> bool:
        """Whether callers may come without TLS."""
        return is_loopback(self.listen_host) if self.allow_plaintext is None else self.allow_plaintext

    @property
    def upstream_is_local(self) -> bool:
        """Whether bytes to the server stay on this machine."""
        return self.upstream_host.startswith("/") or is_loopback(self.upstream_host)

    @property
    def upstream_verifies(self) -> bool:
        """Whether the connection to the server is TLS with the server's name checked."""
        return self.upstream_tls == "verify-full" or (not self.upstream_tls and not self.upstream_is_local)


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeConfig:
    """The whole configuration, checked."""

    edge: EdgeSection
    control: ControlSection
    recorder: RecorderSection
    limits: LimitsSection
    postgres: tuple[PostgresSection, ...]


_SINGLE: Final[Mapping[str, type]] = {
    "edge": EdgeSection,
    "control": ControlSection,
    "recorder": RecorderSection,
    "limits": LimitsSection,
}


def load(path: Path, environment: Mapping[str, str]) -> EdgeConfig:
    """Read a configuration file; relative paths in it start at its folder.

    Raises:
        ConfigError: naming the key and the line.
    """
    return parse(read(path), path.name, path.resolve().parent, environment)


def read(path: Path) -> str:
    """A configuration file's text. Raises ConfigError."""
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(path.name, 1, f"it can't be read ({error})") from error


def parse(text: str, name: str, folder: Path, environment: Mapping[str, str]) -> EdgeConfig:
    """Read a configuration text. See `load`."""
    source = TomlSource(text, name, folder, environment)
    for key in source.value:
        if key not in _SINGLE and key != "postgres":
            raise source.wrong(
                (key,), "is no section known", f"Known: {', '.join(f'[{one}]' for one in _SINGLE)}, [[postgres]]."
            )
    sections: dict[str, Any] = {
        key: source.section(kind, (key,), source.value.get(key, {})) for key, kind in _SINGLE.items()
    }
    tables = source.value.get("postgres")
    if not isinstance(tables, list) or not 1 <= len(tables) <= MAX_TARGETS:
        raise source.wrong(
            ("postgres",),
            f"must stand from once to {MAX_TARGETS} times",
            "An edge without a target guards nothing. Write each as [[postgres]].",
        )
    postgres = tuple(source.section(PostgresSection, ("postgres", at), table) for at, table in enumerate(tables))
    config = EdgeConfig(**sections, postgres=postgres)
    for where, why, advice in _contradictions(config):
        raise source.wrong(where, why, advice)
    return config


def _contradictions(config: EdgeConfig) -> Iterator[tuple[KeyPath, str, str]]:
    """Settings that fit one by one and not together, and rules that could never apply."""
    yield from _edge_contradictions(config)
    seen: dict[str, int] = {}
    doors: set[tuple[str, int]] = set()
    for at, one in enumerate(config.postgres):
        if one.target in seen:
            yield (
                ("postgres", at, "target"),
                f"names {one.target!r} a second time",
                "One section per target; the second could never apply.",
            )
        if one.listen_port and (one.listen_host, one.listen_port) in doors:
            yield ("postgres", at, "listen_port"), "is another target's already", "Give each target its own port."
        seen[one.target] = at
        doors.add((one.listen_host, one.listen_port))
        for key, why, advice in (*_listener(one), *_upstream(one), *_waiting(one)):
            yield ("postgres", at, key), why, advice


def _edge_contradictions(config: EdgeConfig) -> Iterator[tuple[KeyPath, str, str]]:
    if config.edge.id and not _is_id(config.edge.id):
        yield ("edge", "id"), "is no id", "Letters, digits and . _ @ + - only, at most 128."
    url = urlsplit(config.control.url)
    if url.scheme not in ("http", "https") or not url.hostname or url.query or url.fragment or url.username:
        yield ("control", "url"), "is no address of a control plane", "Write it as https://host or https://host:port."
    elif url.scheme == "http":
        if not is_loopback(url.hostname):
            yield ("control", "url"), "is plain http to another machine", "Use https."
        if config.control.ca_file:
            yield ("control", "ca_file"), "can never apply: `url` is plain http", "Remove it, or use https."
    recorder, limits = config.recorder, config.limits
    if recorder.low_disk_bytes <= recorder.exhausted_disk_bytes:
        yield (
            ("recorder", "low_disk_bytes"),
            "can never apply: it is not above `exhausted_disk_bytes`",
            "Writes should be denied well before sessions end.",
        )
    if limits.max_starting > limits.max_connections:
        yield ("limits", "max_starting"), "can never apply: it is above `max_connections`", ""
    workers = config.edge.workers
    if limits.max_starting < workers:
        yield ("edge", "workers"), "leaves some nothing to do: it is above `max_starting`", ""
    if limits.max_copy_bytes > limits.max_copied_bytes // workers:
        shared = ", of which each of `workers` has its share" if workers > 1 else ""
        advice = "Raise `max_copied_bytes`, or lower this."
        yield ("limits", "max_copy_bytes"), f"can never apply: it is above `max_copied_bytes`{shared}", advice
    if limits.max_open_per_caller > limits.max_open_requests:
        yield ("limits", "max_open_per_caller"), "can never apply: it is above `max_open_requests`", ""


def _listener(one: PostgresSection) -> Iterator[tuple[str, str, str]]:
    local = is_loopback(one.listen_host)
    if not _is_id(one.target):
        yield "target", "is no id", "Letters, digits and . _ @ + - only, at most 128."
    if one.tls_key_file and not one.tls_cert_file:
        yield "tls_key_file", "can never apply: `tls_cert_file` is missing", ""
    if one.tls_cert_file and not one.tls_key_file:
        yield "tls_cert_file", "can never apply: `tls_key_file` is missing", ""
    if one.allow_plaintext and not local:
        yield "allow_plaintext", "is permitted on loopback only", "Remove it, and let callers use TLS."
    if not one.tls_cert_file:
        if not local:
            yield (
                "listen_host",
                "is no loopback address, and there is no TLS",
                "Set tls_cert_file and tls_key_file, or listen on 127.0.0.1.",
            )
        if one.allow_plaintext is False:
            yield "allow_plaintext", "is false and there is no TLS: nobody could connect", "Set tls_cert_file."


def _upstream(one: PostgresSection) -> Iterator[tuple[str, str, str]]:
    if one.upstream_tls == "off" and not one.upstream_is_local:
        yield "upstream_tls", "may be off to this machine only", "Use verify-full."
    if one.upstream_tls == "verify-full" and one.upstream_host.startswith("/"):
        yield "upstream_tls", "can never apply: PostgreSQL has no TLS on Unix sockets", "Remove it."
    if one.upstream_ca_file and not one.upstream_verifies:
        yield "upstream_ca_file", "can never apply: there is no TLS to the server", "Set upstream_tls to verify-full."
    yield from _upstream_certificates(one)
    secrets = bool(one.upstream_password) + bool(one.upstream_password_secret)
    if secrets == 2:
        yield "upstream_password_secret", "stands beside upstream_password: only one can apply", "Remove one of them."
    if not secrets and not one.upstream_trust and not one.upstream_cert_file:
        yield (
            "upstream_password",
            "has none of upstream_password_file, upstream_password_env and upstream_password_secret",
            "Name one, or set upstream_trust to true for a server that asks for no password.",
        )
    if secrets and one.upstream_trust:
        yield "upstream_trust", "makes the password useless: a false server need not know it", "Remove one of them."


def _upstream_certificates(one: PostgresSection) -> Iterator[tuple[str, str, str]]:
    if bool(one.upstream_cert_file) is not bool(one.upstream_key_file):
        given = "upstream_cert_file" if one.upstream_cert_file else "upstream_key_file"
        yield given, "can never apply alone", "Set upstream_cert_file and upstream_key_file."
    elif one.upstream_cert_file and not one.upstream_verifies:
        yield "upstream_cert_file", "can never apply: there is no TLS to the server", "Set upstream_tls to verify-full."
    if one.upstream_require_binding and not one.upstream_verifies:
        without = "can never apply: there is no TLS to the server"
        yield "upstream_require_binding", without, "Set upstream_tls to verify-full."


def _waiting(one: PostgresSection) -> Iterator[tuple[str, str, str]]:
    for text in one.readers:
        if not _READER.fullmatch(text):
            yield "readers", f"has {text!r}", 'Write each as "shop.total(integer, text) SHA-256 in hexadecimal".'
    if one.in_transaction_hold_seconds > one.hold_seconds:
        yield "in_transaction_hold_seconds", "can never apply: it is above `hold_seconds`", ""
    if one.heartbeat_seconds >= one.hold_seconds:
        yield "heartbeat_seconds", "can never apply: a hold ends before the first one (`hold_seconds`)", ""


def is_loopback(host: str) -> bool:
    """Whether a host is this machine itself: a loopback address, or the name ``localhost``."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_id(text: str) -> bool:
    return 0 < len(text) <= 128 and set(text) <= _ID and text[0].isalnum()


def explain() -> str:
    """Every section and key with its meaning and default, as a commented TOML text."""
    parts: list[str] = []
    for name, kind in (*_SINGLE.items(), ("postgres", PostgresSection)):
        head = f"[[{name}]]" if name == "postgres" else f"[{name}]"
        parts.append(f"{head}  # {(kind.__doc__ or '').strip()}")
        for field in dataclasses.fields(kind):
            parts.append(_explained(kind, field))
        parts.append("")
    return "\n".join(parts)


def _explained(kind: type, field: dataclasses.Field[Any]) -> str:
    meta, default = field.metadata, field.default
    if field.name not in keys_of(kind):
        return f'# {meta["doc"]} From one of the two:\n# {field.name}_file = "PATH"\n# {field.name}_env = "VARIABLE"'
    if default is dataclasses.MISSING:
        return f"# {meta['doc']} Required.\n{field.name} = …"
    if isinstance(default, bool):
        return f"# {meta['doc']}\n# {field.name} = {str(default).lower()}"
    if isinstance(default, int):
        return f"# {meta['doc']} From {meta['low']} to {meta['high']}.\n# {field.name} = {default}"
    if isinstance(default, tuple):
        return f"# {meta['doc']}\n# {field.name} = []"
    return f"# {meta['doc']}\n# {field.name} = " + (f'"{default}"' if default else "…")
