"""What AWS says, in our words: every refusal of a service becomes one of `twokeys.errors`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from botocore.exceptions import BotoCoreError, ClientError

from twokeys.errors import Unavailable

BUSY: Final = frozenset(
    {
        "ProvisionedThroughputExceededException", "RequestLimitExceeded", "ThrottlingException", "Throttling",
        "TooManyRequestsException", "SlowDown", "LimitExceededException", "TransactionInProgressException",
    }
)  # fmt: skip
"""Codes that mean: later."""

IDENTITY: Final = frozenset(
    {
        "ExpiredToken", "ExpiredTokenException", "UnrecognizedClientException", "InvalidClientTokenId",
        "AccessDeniedException", "AccessDenied", "InvalidSignatureException", "SignatureDoesNotMatch",
        "RequestTimeTooSkewed", "RequestExpired",
    }
)  # fmt: skip
"""Codes that mean: the function's own permissions or clock are wrong."""


def code_of(error: ClientError) -> str:
    """The service's error code."""
    return str(error.response.get("Error", {}).get("Code", "Unknown"))


@contextmanager
def told(service: str, not_done: str) -> Iterator[None]:
    """Turn what boto3 raises into Unavailable; the service's own text stays in the cause, it may name resources."""
    try:
        yield
    except ClientError as error:
        code = code_of(error)
        if code in BUSY:
            raise Unavailable(f"{service} is busy ({code}).", not_done=not_done, advice="Try again shortly.",
                              code="busy") from error  # fmt: skip
        advice = "Look after the function's role and clock." if code in IDENTITY else "Try again; tell the owners."
        raise Unavailable(f"{service} refused ({code}).", not_done=not_done, advice=advice,
                          code="aws_refused") from error  # fmt: skip
    except BotoCoreError as error:
        raise Unavailable(f"{service} can't be reached ({type(error).__name__}).", not_done=not_done,
                          advice="Try again shortly.", code="aws_unreachable") from error  # fmt: skip
