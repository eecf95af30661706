"""A caller's proof comes from one place, and is in no repr."""

from __future__ import annotations

from pathlib import Path

import pytest

from twokeys.errors import InvalidInput
from twokeys_cli.proof import MAX_PROOF_BYTES, Proof, read_proof


def test_it_comes_from_a_file_or_from_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "proof"
    file.write_bytes(b"s3cret word\r\nmore\n")
    both = {"PGPASSWORD": "p", "TWOKEYS_TOKEN": "t"}
    assert read_proof(file, None, both) == Proof("s3cret word")
    assert read_proof(None, file, both) == Proof("s3cret word", is_token=True)
    assert read_proof(None, None, {"PGPASSWORD": "p"}) == Proof("p")
    assert read_proof(None, None, {"TWOKEYS_TOKEN": "t"}) == Proof("t", is_token=True)
    assert "s3cret" not in repr(read_proof(file, None, {}))


@pytest.mark.parametrize("environment", [{}, {"PGPASSWORD": "p", "TWOKEYS_TOKEN": "t"}])
def test_none_or_two_of_them_are_said(environment: dict[str, str]) -> None:
    with pytest.raises(InvalidInput, match="PGPASSWORD"):
        read_proof(None, None, environment)


@pytest.mark.parametrize("data", [b"", b"\nx", b"\xff", b"a\0b", b"x" * (MAX_PROOF_BYTES + 1)])
def test_a_file_without_a_credential_is_refused(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "proof"
    file.write_bytes(data)
    for one, other in ((file, None), (None, file), (file, file), (tmp_path / "none", None)):
        with pytest.raises(InvalidInput):
            read_proof(one, other, {})
