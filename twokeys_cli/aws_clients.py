"""AWS as an auditor reaches it: with their own credentials, found as the AWS command line finds them.

The only module of the command that knows boto3; it comes with `twokeys[aws]`, and is imported when AWS is asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    ProfileNotFound,
    SSOError,
    TokenRetrievalError,
)

from twokeys.errors import InvalidInput, Refused, TwokeysError, Unavailable
from twokeys_cli.output import plain

CONNECT_SECONDS: Final = 5
READ_SECONDS: Final = 30
MAX_ATTEMPTS: Final = 5
MAX_CONNECTIONS: Final = 16

_NOBODY: Final = (
    NoCredentialsError, PartialCredentialsError, CredentialRetrievalError, SSOError, TokenRetrievalError,
)  # fmt: skip
_ENDED: Final = frozenset({"ExpiredToken", "ExpiredTokenException", "RequestExpired"})
_STRANGER: Final = frozenset({"UnrecognizedClientException", "InvalidClientTokenId", "InvalidAccessKeyId"})
_CLOCK: Final = frozenset({"RequestTimeTooSkewed", "InvalidSignatureException", "SignatureDoesNotMatch"})
_BUSY: Final = frozenset({"ThrottlingException", "Throttling", "TooManyRequestsException", "SlowDown"})
_MISSING: Final = frozenset({"NoSuchBucket", "NoSuchKey", "NoSuchVersion", "404"})
_SIGN_IN: Final = "Sign in (for example `aws sso login`), and name the profile of the auditors' role with AWS_PROFILE."


def client(service: str, region: str = "") -> Any:
    """A client of an AWS service; typed Any, boto3 publishes no types.

    Raises:
        TwokeysError: when region or profile are not known.
    """
    config = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"mode": "standard", "total_max_attempts": MAX_ATTEMPTS},
        max_pool_connections=MAX_CONNECTIONS,
    )
    with told("AWS", "Nothing was asked."):
        return boto3.session.Session().client(service, region_name=region or None, config=config)


@contextmanager
def told(service: str, not_done: str) -> Iterator[None]:
    """Turn what boto3 raises into errors that say what to try."""
    try:
        yield
    except ClientError as error:
        raise _said(service, not_done, error) from error
    except _NOBODY as error:
        raise Refused("There are no AWS credentials, or they can't be had.", not_done=not_done, advice=_SIGN_IN,
                      code="no_credentials") from error  # fmt: skip
    except NoRegionError as error:
        raise InvalidInput("No AWS region is set.", not_done=not_done, advice="Name it with --region or AWS_REGION.",
                           code="no_region") from error  # fmt: skip
    except ProfileNotFound as error:
        raise InvalidInput("The profile that AWS_PROFILE names does not exist.", not_done=not_done,
                           advice="Run `aws configure list-profiles`.", code="no_profile") from error  # fmt: skip
    except BotoCoreError as error:
        raise Unavailable(f"{service} can't be reached ({type(error).__name__}).", not_done=not_done,
                          advice="Look at the network and the region, then try again.",
                          code="aws_unreachable") from error  # fmt: skip


def _said(service: str, not_done: str, error: ClientError) -> TwokeysError:
    code = str(error.response.get("Error", {}).get("Code", "Unknown"))
    # It may quote what others wrote.
    message = plain(str(error.response.get("Error", {}).get("Message", "")))[:1000]
    match code:
        case _ if code in _ENDED:
            return Refused("Your AWS sign-in has ended.", not_done=not_done, advice=_SIGN_IN, code="expired")
        case _ if code in _STRANGER:
            return Refused("AWS does not know your credentials.", not_done=not_done, advice=_SIGN_IN, code="stranger")
        case _ if code in _CLOCK:
            return Refused(f"AWS does not take your signature ({code}).", not_done=not_done,
                           advice="Set this machine's clock, and look at the credentials.", code="clock")  # fmt: skip
        case "AccessDenied" | "AccessDeniedException" | "403":
            return Refused(f"{service} does not let you: {message}", not_done=not_done,
                           advice="Take the auditors' role (output AuditorRole of the deployment's stack).",
                           code="not_permitted")  # fmt: skip
        case _ if code in _BUSY:
            return Unavailable(f"{service} is busy ({code}).", not_done=not_done, advice="Try again shortly.",
                               code="busy")  # fmt: skip
        case _ if code in _MISSING:
            return InvalidInput(f"{service} does not know it ({code}): {message}", not_done=not_done,
                                advice="Look at the name and the region.", code="not_found")  # fmt: skip
        case "InvalidRequestException":
            return InvalidInput(f"{service} refused: {message}", not_done=not_done, code="query_refused",
                                advice="`twokeys audit tables` lists tables and columns. The workgroup is output "
                                "AthenaWorkgroup of the deployment's stack, the database AthenaDatabase.")  # fmt: skip
    return Unavailable(f"{service} refused ({code}): {message}", not_done=not_done, code="aws_refused")
