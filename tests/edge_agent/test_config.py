"""The configuration: what fits, and that each complaint names the key and the line."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_agent.config import EdgeConfig, explain, load, parse
from edge_agent.config_toml import ConfigError
from edge_agent.secret import Secret
from twokeys.errors import InvalidInput

GOOD = """\
# an edge
[edge]
state_dir = "state"

[control]
url = "https://control.example"

[[postgres]]
target = "sample-db"
upstream_host = "127.0.0.1"
upstream_user = "twokeys_edge"
upstream_password_env = "PGPW"
upstream_database = "sample"
"""
ENVIRONMENT = {"PGPW": "s3cret"}


def read(text: str) -> EdgeConfig:
    return parse(text, "edge.toml", Path("/srv/edge"), ENVIRONMENT)


def test_a_small_file_is_enough() -> None:
    config = read(GOOD)
    assert config.edge.state_dir == Path("/srv/edge/state")
    assert config.control.url == "https://control.example"
    (target,) = config.postgres
    assert (target.listen_host, target.plaintext, target.upstream_verifies) == ("127.0.0.1", True, False)
    assert target.upstream_password.reveal() == "s3cret"
    assert config.recorder.low_disk_bytes > config.recorder.exhausted_disk_bytes


def test_no_secret_is_printed() -> None:
    config = read(GOOD)
    assert "s3cret" not in repr(config) and "s3cret" not in str(config.postgres[0])
    assert repr(Secret("x")) == "Secret(***)"
    assert f"{Secret('x')}" == "Secret(***)"


BAD = [
    # (what to replace, by what, key named, line named)
    ('state_dir = "state"', "state_dir = 7", "edge.state_dir", 3),
    ('state_dir = "state"', 'statedir = "state"', "edge.statedir", 3),
    ('state_dir = "state"\n', "", "edge.state_dir is missing", 2),
    ('state_dir = "state"', 'state_dir = ""', "edge.state_dir", 3),
    ('state_dir = "state"', 'state_dir = "a"\nworkers = 0', "edge.workers must be from 1 to 64", 4),
    ('state_dir = "state"', 'state_dir = "a"\nworkers = 65', "edge.workers must be from 1 to 64", 4),
    ('state_dir = "state"', 'state_dir = "a"\nworkers = "auto"', "edge.workers must be a whole number", 4),
    ('state_dir = "state"', 'state_dir = "a"\nworkers = 4\n[limits]\nmax_starting = 3', "edge.workers leaves some", 4),
    ('state_dir = "state"', 'state_dir = "a"\nworkers = 9', "limits.max_copy_bytes can never apply", 1),
    ('state_dir = "state"', 'state_dir = "state"\nid = "two words"', "edge.id", 4),
    ("[control]", "[controls]", "controls", 5),
    ("[control]\n", "[control]\nmore.deep = 1\n", "control.more", 6),
    ("https://control.example", "http://control.example", "control.url", 6),
    ("https://control.example", "ftp://control.example", "control.url", 6),
    ("https://control.example", "https://user@control.example", "control.url", 6),
    ('"https://control.example"', '"http://127.0.0.1:1"\nca_file = "x"', "control.ca_file", 7),
    ('"https://control.example"', '"https://x"\ncall_seconds = 0', "control.call_seconds", 7),
    ('"https://control.example"', '"https://x"\ncall_seconds = 1.5', "control.call_seconds", 7),
    ('"https://control.example"', '"https://x"\ncall_seconds = true', "control.call_seconds", 7),
    ('"https://control.example"', '"https://x"\n[recorder]\nlow_disk_bytes = 5', "recorder.low_disk_bytes", 8),
    ('"https://control.example"', '"https://x"\n[recorder]\nsync_milliseconds = 500', "recorder.sync_milli", 8),
    ('"https://control.example"', '"https://x"\n[limits]\n\n# a\nmax_starting = 7000', "limits.max_starting", 10),
    ('"https://control.example"', '"https://x"\n[limits]\nmax_open_per_caller = 6000', "limits.max_open_per_c", 8),
    ('target = "sample-db"', 'target = "sample db"', "postgres[1].target", 9),
    ('target = "sample-db"', 'target = "a"\nlisten_host = "0.0.0.0"', "postgres[1].listen_host", 10),
    ('target = "sample-db"', 'target = "a"\nlisten_host = "db.example"', "postgres[1].listen_host", 10),
    ('target = "sample-db"', 'target = "a"\nlisten_host = "::"', "postgres[1].listen_host", 10),
    ('target = "sample-db"', 'target = "a"\nlisten_port = 65536', "postgres[1].listen_port", 10),
    ('target = "sample-db"', 'target = "a"\nlisten_port = -1', "postgres[1].listen_port", 10),
    ('target = "sample-db"', 'target = "a"\ntls_key_file = "k"', "postgres[1].tls_key_file", 10),
    ('target = "sample-db"', 'target = "a"\ntls_cert_file = "k"', "postgres[1].tls_cert_file", 10),
    ('target = "sample-db"', 'target = "a"\nallow_plaintext = false', "postgres[1].allow_plaintext", 10),
    (
        'target = "sample-db"',
        'target = "a"\nlisten_host = "10.0.0.1"\ntls_cert_file = "c"\ntls_key_file = "k"\nallow_plaintext = true',
        "postgres[1].allow_plaintext",
        13,
    ),
    ('target = "sample-db"', 'target = "a"\nupstream_password = "x"', "postgres[1].upstream_password", 10),
    ('target = "sample-db"', 'target = "a"\nupstream_password_file = "x"', "postgres[1].upstream_password_env", 13),
    ('target = "sample-db"', 'target = "a"\nupstream_trust = true', "postgres[1].upstream_trust", 10),
    ('target = "sample-db"', 'target = "a"\nupstream_ca_file = "x"', "postgres[1].upstream_ca_file", 10),
    ('target = "sample-db"', 'target = "a"\nupstream_cert_file = "x"', "postgres[1].upstream_cert_file", 10),
    ('target = "sample-db"', 'target = "a"\nupstream_key_file = "x"', "postgres[1].upstream_key_file", 10),
    ('target = "sample-db"', 'target = "a"\nupstream_require_binding = true', "upstream_require_binding", 10),
    ('target = "sample-db"', 'target = "a"\nupstream_password_secret = "x"', "upstream_password_secret", 10),
    ('target = "sample-db"', 'target = "a"\nupstream_tls = "require"', "postgres[1].upstream_tls", 10),
    ('target = "sample-db"', 'target = "a"\nhold_seconds = 60', "postgres[1].in_transaction_hold_seconds", 8),
    ('target = "sample-db"', 'target = "a"\nheartbeat_seconds = 600', "postgres[1].heartbeat_seconds", 10),
    ('upstream_password_env = "PGPW"', 'upstream_password_env = "OTHER"', "postgres[1].upstream_password_env", 12),
    ('upstream_password_env = "PGPW"', 'upstream_password_file = "none"', "postgres[1].upstream_password_file", 12),
    ('upstream_password_env = "PGPW"\n', "", "postgres[1].upstream_password", 8),
    ('"127.0.0.1"', '"db.example"\nupstream_tls = "off"', "postgres[1].upstream_tls", 11),
    ('"127.0.0.1"', '"/run/postgresql"\nupstream_tls = "verify-full"', "postgres[1].upstream_tls", 11),
    ('"127.0.0.1"', '"a\\u0000b"', "postgres[1].upstream_host", 10),
    ('"127.0.0.1"', '"""\n127.0.0.1\n"""', "postgres[1].upstream_host", 10),
    ("[[postgres]]", "[postgres]", "postgres must stand", 8),
    ("[edge]", "[edge", "no TOML", 2),
    ("[edge]", "[edge]\nstate_dir = 'a'", "no TOML", 4),
]


@pytest.mark.parametrize(("old", "new", "key", "line"), BAD)
def test_a_complaint_names_key_and_line(old: str, new: str, key: str, line: int) -> None:
    assert GOOD.count(old) == 1
    with pytest.raises(ConfigError) as caught:
        read(GOOD.replace(old, new))
    assert key in str(caught.value), caught.value
    assert caught.value.line == line, caught.value


def test_a_second_section_for_a_target_or_a_port_is_refused() -> None:
    second = GOOD[GOOD.index("[[postgres]]") :]
    with pytest.raises(ConfigError, match=r"postgres\[2\].target") as caught:
        read(GOOD + second)
    assert caught.value.line == 15
    with pytest.raises(ConfigError, match=r"postgres\[2\].listen_port"):
        read(GOOD + second.replace("sample-db", "other"))
    assert len(read(GOOD + second.replace('"sample-db"', '"other"\nlisten_port = 6433')).postgres) == 2


def test_no_target_and_too_many_are_refused() -> None:
    with pytest.raises(ConfigError, match="postgres must stand"):
        read(GOOD[: GOOD.index("[[postgres]]")])
    with pytest.raises(ConfigError, match="postgres must stand"):
        read(GOOD + "[[postgres]]\n" * 64)


def test_a_long_deep_or_unreadable_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="over 65536 bytes"):
        read(GOOD + "#" * 65536)
    with pytest.raises(ConfigError):
        read("a = " + "[" * 5000 + "]" * 5000)
    with pytest.raises(ConfigError, match="can't be read"):
        load(tmp_path / "none.toml", {})
    (tmp_path / "bytes.toml").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="can't be read"):
        load(tmp_path / "bytes.toml", {})


def test_a_secret_in_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("s3cret\n")
    (tmp_path / "edge.toml").write_text(
        GOOD.replace('upstream_password_env = "PGPW"', 'upstream_password_file = "password"')
    )
    for mode in (0o644, 0o604, 0o602, 0o620):
        secret.chmod(mode)
        with pytest.raises(ConfigError, match=r"line 12: .*read or changed by others") as caught:
            load(tmp_path / "edge.toml", {})
        assert "s3cret" not in str(caught.value)
    secret.chmod(0o600)
    assert load(tmp_path / "edge.toml", {}).postgres[0].upstream_password.reveal() == "s3cret"
    for wrong in (b"", b"\n", b"a\nb", b"\xff", b"x" * 5000):
        secret.write_bytes(wrong)
        with pytest.raises(ConfigError):
            load(tmp_path / "edge.toml", {})


def test_explain_names_every_key_and_its_limits() -> None:
    text = explain()
    for needle in (
        "[edge]",
        "[[postgres]]",
        "state_dir = …",
        "# listen_port = 6432",
        "From 0 to 65535",
        "upstream_password_file",
        "upstream_password_env",
        '# search_path = "public"',
    ):
        assert needle in text
    assert "\nupstream_password = " not in text


@given(st.text(max_size=300) | st.text(alphabet='[]="\n#.ab1 ', max_size=80).map(lambda text: GOOD + text))
def test_any_text_is_a_configuration_or_a_refusal(text: str) -> None:
    try:
        assert isinstance(read(text), EdgeConfig)
    except InvalidInput as error:
        assert isinstance(error, ConfigError)


def test_owners_may_vouch_for_functions() -> None:
    word = f"shop.total(integer, text) sha256:{'aB' * 32}"
    (target,) = read(f'{GOOD}readers = ["{word}"]\n').postgres
    assert target.readers == (word,)


@pytest.mark.parametrize(
    "value",
    ['"shop.f() x"', "7", "[7]", '[""]', '["shop.f()"]', '["f() ' + "a" * 64 + '"]', '["shop.f() ' + "a" * 63 + '"]',
     '["shop.f( ' + "a" * 64 + '"]'],
)  # fmt: skip
def test_a_word_about_no_function_is_refused(value: str) -> None:
    with pytest.raises(ConfigError, match="readers"):
        read(f"{GOOD}readers = {value}\n")
