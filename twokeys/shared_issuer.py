"""Issuers that sign for everybody, of which an owner must say whose subjects are meant.

A company's own issuer signs for its own jobs: whoever has its token was let in by that company. The issuers named here
sign for each repository, pipeline or account of the world, and whoever asks for a token chooses its audience. Trusted
without a list of subjects, such an issuer would let a stranger's job sign in and read what policy lets anybody read. So

  1. without subjects none of them is trusted: not at the control plane, not by an Edge whose Bundle brings one;
  2. each entry names whose subjects it takes in: ``repo:*`` would be everybody again, and so would a subject made of
     what any repository may choose, as ``environment:prod`` is where an owner changed GitHub's template of subjects.

An issuer shared with strangers that is not named here is trusted as an owner says: SECURITY.md tells them so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from twokeys.errors import InvalidInput
from twokeys.subject import Subjects


@dataclass(frozen=True, slots=True)
class SharedIssuer:
    """An issuer that signs for everybody.

    Args:
        issuer: Its exact `iss`.
        whose: The regular expression of what an entry begins with when it names whose subjects it takes in.
        example: Such an entry.
    """

    issuer: str
    whose: str
    example: str


SHARED: Final = (
    # https://docs.github.com/actions/reference/security/oidc
    SharedIssuer(
        "https://token.actions.githubusercontent.com",
        r"repo:[^:/*]+/|repository_(?:owner_)?id:[0-9]+(?::|\Z)",
        "repo:org/app:environment:prod",
    ),
    # https://docs.gitlab.com/ci/secrets/id_token_authentication/
    SharedIssuer("https://gitlab.com", r"project_path:[^:/*]+/", "project_path:group/app:*"),
    # https://buildkite.com/docs/pipelines/security/oidc
    SharedIssuer("https://agent.buildkite.com", r"organization:[^:/*]+:", "organization:org:pipeline:app:*"),
    # https://developer.hashicorp.com/terraform/cloud-docs/workspaces/dynamic-provider-credentials/workload-identity-tokens
    SharedIssuer("https://app.terraform.io", r"organization:[^:/*]+:", "organization:org:project:app:*"),
    # Who has a service account chooses the audience; `sub` is its number, which no other account gets.
    # https://docs.cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/generateIdToken
    SharedIssuer("https://accounts.google.com", r"[0-9]+\Z", "112233445566778899000"),
)


def shared(issuer: str) -> SharedIssuer | None:
    """The shared issuer of this name, however its case, scheme and last ``/`` are written; None for any other."""
    return next((one for one in SHARED if _name(one.issuer) == _name(issuer)), None)


def admitted(issuer: str, entries: Sequence[str]) -> Subjects:
    """The subjects of an issuer that may be callers, of these entries.

    Raises:
        InvalidInput: for entries that are none, and for a shared issuer without them, or with one that takes in
            strangers.
    """
    subjects = Subjects(tuple(entries))
    known = shared(issuer)
    if known is None or (entries and all(re.match(known.whose, entry) for entry in entries)):
        return subjects
    raise InvalidInput(
        f"{known.issuer} signs for everybody: without subjects that name their owner, strangers would be callers.",
        not_done="The issuer is not trusted.",
        advice=f"Say which subjects are meant: --subject {known.example}",
        code="subjects_needed",
    )


def _name(issuer: str) -> str:
    return issuer.strip().casefold().removeprefix("https://").rstrip("/")
