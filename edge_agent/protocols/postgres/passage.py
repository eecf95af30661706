"""What may pass by the lane: what is known of it, so that nothing has to be found out again."""

from __future__ import annotations

from edge_agent.classify.transaction import TxnAction
from edge_agent.protocols.postgres.door import Judgement
from twokeys.command import QueryProtocol


class Passage:
    """A read, plain transaction control, or an allowed write, that may pass: what is the same each time it comes.

    Args:
        judgement: Of its text.
        protocol: How it comes.
        text: The text itself.
        era: The door's, when it was judged.
        types: Of parameters, where a Parse comes with it.
    """

    __slots__ = ("action", "era", "filled", "judgement", "protocol", "text", "types", "writes")

    def __init__(
        self, judgement: Judgement, protocol: QueryProtocol, text: bytes, era: int, types: tuple[int, ...] = ()
    ) -> None:
        self.judgement, self.protocol, self.text, self.era, self.types = judgement, protocol, text, era, types
        self.action: TxnAction | None = None
        """Of transaction control; None: it is a read."""
        self.writes = False
        """It is a write of rows that policy allows; see `allowed_step`."""
        self.filled: object = None
        """The shell's: what of its Record is the same each time."""
