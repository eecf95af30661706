"""The sample database of `twokeys up`: a small shop, and the least-privilege role that the Edge connects as."""

from __future__ import annotations

from importlib.resources import files

from twokeys_cli.postgres import PostgresServer

DATABASE = "sample"
"""The sample database's name."""
SEARCH_PATH = "shop, public"
"""The sample database's search_path."""
EDGE_ROLE = "twokeys_edge"
"""The login of the Edge at the sample database: reads and writes rows, owns nothing, creates nothing."""


def sample_exists(server: PostgresServer) -> bool:
    """Whether `create_sample` has finished at this running server."""
    return server.psql(f"SELECT count(*) FROM pg_roles WHERE rolname = '{EDGE_ROLE}'").strip() == "1"  # noqa: S608


def create_sample(server: PostgresServer, edge_password: str) -> None:
    """Make the sample database and the Edge's role at a running server.

    Args:
        server: A running server without sample data; half of an earlier try is dropped.
        edge_password: The new role's password. It travels by the environment, never by a command line.
    """
    server.psql(f"DROP DATABASE IF EXISTS {DATABASE};\nCREATE DATABASE {DATABASE};")
    script = files("twokeys_cli").joinpath("sample.sql").read_text()
    server.psql(script, database=DATABASE, environment={"TWOKEYS_EDGE_PASSWORD": edge_password})
