"""Hands the control plane's own Records to the auditors, as an Edge hands over its own: Segments, sealed."""

from __future__ import annotations

from typing import Final

from twokeys.digest import sha256
from twokeys.messages import SealRequest
from twokeys.record import extend
from twokeys.seal import segment_id
from twokeys.segment_files import pack_lines, split_lines, unpack_lines

from ..ports.recordings import Recordings
from ..ports.records import SOURCE, Records, Run
from .seals import Seals

MAX_RECORDS: Final = 5000
"""Most Records of one Segment."""


class OwnSegments:
    """Exports. One caller at a time."""

    def __init__(self, records: Records, recordings: Recordings, seals: Seals) -> None:
        self._records, self._recordings, self._seals = records, recordings, seals

    def export(self) -> int:
        """Seal and publish what is new; return how many Records. Can be cut off and done again at any point."""
        done = 0
        while True:
            last = self._recordings.last_seal(SOURCE)
            sealed = last.last_seq if last else 0
            run = self._records.after(sealed, MAX_RECORDS)
            if not run.lines:
                if done:
                    self._records.forget(sealed)
                return done
            done += self._seal(run)

    def _seal(self, run: Run) -> int:
        segment = segment_id(SOURCE, run.before.sequence + 1)
        stored = self._recordings.part("lines", segment)
        lines = run.lines
        if stored is None:
            self._recordings.put("lines", segment, pack_lines(_joined(lines)))
        else:
            # A try that was cut off after storing: what is stored is sealed as it is, newer ones come next.
            lines = lines[: sum(1 for _ in split_lines(unpack_lines(stored)))]
        head = run.before
        for line in lines:
            head = extend(head, line)
        request = SealRequest(
            first_seq=run.before.sequence + 1,
            last_seq=head.sequence,
            previous_hash=run.before.hash,
            last_hash=head.hash,
            lines_sha256=sha256(_joined(lines)),
        )
        self._seals.seal(SOURCE, request, [])
        return len(lines)


def _joined(lines: tuple[bytes, ...]) -> bytes:
    return b"".join(line + b"\n" for line in lines)
