"""The routes of issuers: what is put is what is listed, owners alone put, and the name travels in the query."""

from __future__ import annotations

from urllib.parse import quote

import msgspec

from tests.control_plane.services.test_issuers import URL, issuer
from tests.control_plane.test_gateway import Http, site
from twokeys.bundle import Issuer

__all__ = ["site"]


def test_an_owner_trusts_an_issuer_and_takes_it_back(site: Http) -> None:
    ann, rob = site.token("ann"), site.token("rob")
    body = msgspec.to_builtins(issuer(require_nbf=False))
    assert site.person(rob, "PUT", "/v1/issuers", body).status == 403
    assert site.person(ann, "PUT", "/v1/issuers", {**body, "issuer": "ci"}).body["code"] == "bad_issuer"
    assert site.person(ann, "PUT", "/v1/issuers", {**body, "subject_prefix": "ci"}).status == 400
    assert site.person(ann, "PUT", "/v1/issuers", body).status == 200
    [listed] = site.person(rob, "GET", "/v1/issuers").body["issuers"]
    assert msgspec.convert(listed, Issuer) == issuer(require_nbf=False)
    path = f"/v1/issuers?issuer={quote(URL, safe='')}"
    assert site.person(rob, "DELETE", path).status == 403
    assert site.person(ann, "DELETE", path).status == 200
    assert site.person(ann, "DELETE", path).status == 404
    assert site.person(ann, "DELETE", "/v1/issuers").status == 404
    assert site.person(rob, "GET", "/v1/issuers").body["issuers"] == []


def test_a7_the_route_refuses_an_issuer_of_everybody_without_subjects(site: Http) -> None:
    ann = site.token("ann")
    body = msgspec.to_builtins(issuer("https://gitlab.com", "gl+"))
    assert site.person(ann, "PUT", "/v1/issuers", body).body["code"] == "subjects_needed"
    for subjects in (
        ["project_path:*"],
        ["*"],
        "project_path:group/app:*",
        [7],
        ["x" * 256],
        ["project_path:g/a"] * 65,
    ):
        assert site.person(ann, "PUT", "/v1/issuers", {**body, "subjects": subjects}).status == 400
    mine = {**body, "subjects": ["project_path:group/app:*"]}
    assert site.person(ann, "PUT", "/v1/issuers", mine).status == 200
    assert site.person(ann, "GET", "/v1/issuers").body["issuers"] == [mine]
