"""Changing a deployment's policy as its people do: ann proposes, rob approves."""

from __future__ import annotations

import select
import time
from collections.abc import Callable

from tests.support.deployment import Deployment


def change_policy(whole: Deployment, change: Callable[[str], str], seconds: float = 20) -> None:
    """Put a changed text in force, and wait until the Edge works by it."""
    now = whole.call("ann", "GET", "/v1/policies").body
    text = change(now["text"])
    assert text != now["text"]
    proposed = whole.call("ann", "PUT", "/v1/policies", {"text": text, "base_revision": now["revision"]})
    assert proposed.status == 201, proposed.body
    vote = {"approve": True, "text_sha256": proposed.body["text_sha256"]}
    decided = whole.call("rob", "POST", f"/v1/policies/{proposed.body['id']}/votes", vote)
    assert decided.status == 200, decided.body
    before = whole.edge.log.read_text().count('"event": "bundle"')
    end = time.monotonic() + seconds
    while whole.edge.log.read_text().count('"event": "bundle"') <= before:
        assert time.monotonic() < end, "the edge has no new bundle"
        select.select([], [], [], 0.05)


def annotated(policy_id: str, annotation: str) -> Callable[[str], str]:
    """Adds an annotation to one policy."""
    return lambda text: text.replace(f'@id("{policy_id}")', f'@id("{policy_id}")\n{annotation}')
