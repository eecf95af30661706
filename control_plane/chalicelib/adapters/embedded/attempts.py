"""Limits how often passphrases may be tried: for each account, and in all.

Accounts are counted in buckets chosen by a keyed hash, known or unknown alike: the table has a fixed size, an
attacker can't aim at another account's bucket, and a refusal says nothing about whether an account exists.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

BUCKETS: Final = 4096
"""Buckets of accounts."""

ACCOUNT_TRIES: Final = 5
"""Tries that one account has at once."""

ACCOUNT_SECONDS: Final = 30.0
"""Seconds after which an account gets one more try."""

TOTAL_TRIES: Final = 60
"""Tries that all accounts together have at once."""

TOTAL_SECONDS: Final = 1.0
"""Seconds after which all together get one more."""


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float


class Attempts:
    """Token buckets in memory; a restart fills them, which random passphrases can afford."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Args: clock: seconds that never go back."""
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._total = _Bucket(TOTAL_TRIES, clock())
        self._accounts: dict[int, _Bucket] = {}

    def take(self, account: str) -> bool:
        """Use one try; False when there is none, and then nothing may be compared."""
        now = self._clock()
        with self._lock:
            bucket = self._accounts.setdefault(self._bucket(account), _Bucket(ACCOUNT_TRIES, now))
            own = _filled(bucket, now, ACCOUNT_TRIES, ACCOUNT_SECONDS)
            total = _filled(self._total, now, TOTAL_TRIES, TOTAL_SECONDS)
            if own < 1 or total < 1:
                return False
            bucket.left, self._total.left = own - 1, total - 1
            return True

    def succeeded(self, account: str) -> None:
        """Give an account its tries back."""
        with self._lock:
            self._accounts.pop(self._bucket(account), None)

    def _bucket(self, account: str) -> int:
        keyed = hashlib.blake2b(account.encode("utf-8", "replace"), key=self._key, digest_size=8).digest()
        return int.from_bytes(keyed, "big") % BUCKETS


def _filled(bucket: _Bucket, now: float, most: int, seconds: float) -> float:
    bucket.left = min(most, bucket.left + (now - bucket.at) / seconds)
    bucket.at = now
    return bucket.left
