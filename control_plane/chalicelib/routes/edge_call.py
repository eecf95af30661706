"""Establishes which Edge calls, for every route of Edges."""

from __future__ import annotations

from chalice.app import Request

from twokeys.edge_call import EdgeCall

from ..ports.edges import Edge
from ..services.edge_auth import Call, EdgeAuth
from .answers import path_of, raw_body


def edge_of(request: Request, auth: EdgeAuth) -> tuple[Edge, EdgeCall]:
    """The Edge that signed this call. Raises Refused."""
    return auth.verify(Call(request.method, path_of(request), request.headers, raw_body(request)))
