"""Where notices go: read strictly, and nowhere by default."""

from __future__ import annotations

from pathlib import Path

import pytest

from control_plane.chalicelib.adapters.embedded.notify_config import FILE_NAME, NotifyConfig, read_notify_config
from twokeys.errors import InvalidInput, Refused

GOOD = """
[smtp]
host = "mail.example.com"
sender = "twokeys@example.com"
user = "twokeys"
password = "sample"
[slack]
channel = "C0123456789"
token = "xoxb-sample"
"""


def written(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / FILE_NAME
    path.write_text(text)
    path.chmod(mode)
    return folder


def test_without_a_file_nothing_is_configured(tmp_path: Path) -> None:
    assert read_notify_config(tmp_path) == NotifyConfig()


def test_both_can_be_configured_and_secrets_stay_out_of_reprs(tmp_path: Path) -> None:
    found = read_notify_config(written(tmp_path, GOOD))
    assert found.smtp is not None and found.slack is not None
    assert (found.smtp.host, found.smtp.port, found.slack.channel) == ("mail.example.com", 587, "C0123456789")
    assert "sample" not in repr(found)


def test_a_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="can be read by others"):
        read_notify_config(written(tmp_path, GOOD, 0o644))


@pytest.mark.parametrize("text", [
    "[smpt]\nhost = 'x'", "[smtp]\nhost = 'x'\nsender = 'y'\nprot = 25", "[smtp]\nhost = 1\nsender = 'y'", "not toml",
    "[slack]\nchannel = 'C1'", "x" * 70_000,
])  # fmt: skip
def test_what_is_mistyped_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidInput, match="can't be used"):
        read_notify_config(written(tmp_path, text))
