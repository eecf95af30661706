"""An auditor's SELECT on Athena: what is sent, what is shown, and that nothing goes on running unseen.

moto answers what the test presets; it runs no SQL. What fails is played by botocore's Stubber.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
import requests
from botocore.exceptions import EndpointConnectionError, NoCredentialsError
from botocore.stub import Stubber
from click.testing import CliRunner, Result
from moto import mock_aws
from moto.athena.models import athena_backends

from twokeys.errors import InvalidInput, Refused, TwokeysError, Unavailable
from twokeys_cli import athena, aws_clients
from twokeys_cli.athena import Athena, Limits, Place
from twokeys_cli.audit import audit

PLACE = Place("twokeys-test-audit", "twokeys_test", "us-east-1")
ROWS: list[list[Any]] = [
    ["caller", "writes", "share", "held"],
    ["agent-7", "12", "0.5", "true"],
    ["\x1b[2Jann", None, None, "false"],
]
TYPES = ["varchar", "bigint", "double", "boolean"]


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.delenv("AWS_PROFILE", raising=False)


@pytest.fixture
def aws() -> Iterator[None]:
    with mock_aws():
        boto3.client("athena", region_name="us-east-1").create_work_group(Name=PLACE.workgroup)
        preset(ROWS, TYPES)
        yield


def preset(rows: list[list[Any]], types: list[str]) -> None:
    data = [{"Data": [{} if cell is None else {"VarCharValue": cell} for cell in row]} for row in rows]
    info = [described(name, kind) for name, kind in zip(rows[0], types, strict=True)]
    answer = requests.post(
        "http://motoapi.amazonaws.com/moto-api/static/athena/query-results",
        json={"results": [{"rows": data, "column_info": info}]},
        timeout=5,
    )
    assert answer.status_code == 201


def described(name: str, kind: str) -> dict[str, Any]:
    return {"CatalogName": "hive", "SchemaName": "", "TableName": "", "Name": name, "Label": name, "Type": kind,
            "Precision": 1, "Scale": 0, "Nullable": "UNKNOWN", "CaseSensitive": True}  # fmt: skip


def run(*arguments: str, **more: Any) -> Result:
    place = ("--athena-workgroup", PLACE.workgroup, "--athena-database", PLACE.database)
    return CliRunner().invoke(audit, ["query", *place, *arguments], **more)


def sent() -> Any:
    """What moto was asked to run last."""
    (account,) = athena_backends.values()
    return list(account["us-east-1"].executions.values())[-1]


@pytest.mark.usefixtures("aws")
def test_an_answer_is_printed_as_a_local_one_is_and_its_cost_is_told() -> None:
    result = run("SELECT caller, writes, share, held FROM records WHERE caller <> $who", "--param", "who=o'x",
                 "--format", "json")  # fmt: skip
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == [
        {"caller": "agent-7", "writes": 12, "share": 0.5, "held": True},
        {"caller": "\x1b[2Jann", "writes": None, "share": None, "held": False},
    ]
    assert "\x1b" not in run("SELECT 1").output
    assert "about $0.0000" in result.stderr
    assert "$5 per TB, at least 10.0 MB" in result.stderr


@pytest.mark.usefixtures("aws")
def test_values_are_sent_as_execution_parameters_and_never_in_the_text() -> None:
    run("SELECT $a, $b, $a FROM records", "--param", "a=o'x", "--param", "b=1")
    assert (sent().query, sent().execution_parameters) == ("SELECT ?, ?, ? FROM records", ["'o''x'", "'1'", "'o''x'"])
    assert sent().context == {"Database": "twokeys_test"}


@pytest.mark.usefixtures("aws")
def test_a_saved_query_is_sent_with_its_defaults() -> None:
    assert run("--saved", "writes_to", "--param", "object=public.orders").exit_code == 0
    values = sent().execution_parameters
    assert values[-1] == "'public.orders'"
    assert all(value.endswith(".000Z'") for value in values[:-1])
    assert sent().query.count("?") == len(values)
    assert "$" not in sent().query


@pytest.mark.usefixtures("aws")
def test_the_environment_says_where_but_a_folder_counts_more(tmp_path: Any) -> None:
    there = {"TWOKEYS_ATHENA_WORKGROUP": PLACE.workgroup, "TWOKEYS_ATHENA_DATABASE": PLACE.database}
    assert CliRunner().invoke(audit, ["query", "SELECT 1"], env=there).exit_code == 0
    local = CliRunner().invoke(audit, ["query", "SELECT 1", "--folder", str(tmp_path)], env=there)
    assert isinstance(local.exception, Unavailable), "it looked in the folder"
    half = CliRunner().invoke(audit, ["query", "SELECT 1"], env={"TWOKEYS_ATHENA_WORKGROUP": "x"})
    assert isinstance(half.exception, InvalidInput)
    assert run("SELECT 1", "--folder", str(tmp_path)).exit_code == 2
    assert run("SELECT 1", "--since", "2026-11-01").exit_code == 2


@pytest.mark.parametrize(
    "text",
    [
        "INSERT INTO records SELECT 1",
        "UNLOAD (SELECT 1) TO 's3://x/'",
        "CREATE TABLE t AS SELECT 1",
        "-- SELECT\nDELETE FROM records",
        "/* SELECT */ EXPLAIN ANALYZE SELECT 1",
        "EXECUTE q",
        "MSCK REPAIR TABLE records",
        "",
        ";SELECT 1",
        "USING EXTERNAL FUNCTION f(x INT) RETURNS INT LAMBDA 'l' SELECT f(1)",
        "\u017felect 1",
    ],
)
def test_only_a_query_is_sent(text: str) -> None:
    with pytest.raises(Refused):
        athena.judge(text)


@pytest.mark.parametrize(
    "text", ["select 1", " -- why\n WITH a AS (SELECT 1) SELECT * FROM a", "(SELECT 1)", "VALUES 1"]
)
def test_a_query_is_sent_however_it_begins(text: str) -> None:
    athena.judge(text)


# What goes wrong, by the Stubber


class Played:
    """A client with played answers, a clock that only waiting moves, and what was told."""

    def __init__(self) -> None:
        self.client = boto3.client("athena", region_name="us-east-1")
        self.stub = Stubber(self.client)
        self.now = 0.0
        self.told: list[athena.Progress] = []
        self.athena = Athena(self.client, PLACE, wait=self._wait, clock=lambda: self.now, tell=self.told.append)

    def _wait(self, seconds: float) -> None:
        self.now += seconds

    def start(self) -> None:
        self.stub.add_response("start_query_execution", {"QueryExecutionId": "q-1"})

    def state(self, state: str, scanned: int = 0, reason: str = "") -> None:
        status = {"State": state} | ({"StateChangeReason": reason} if reason else {})
        execution = {"QueryExecutionId": "q-1", "Status": status, "Statistics": {"DataScannedInBytes": scanned}}
        self.stub.add_response("get_query_execution", {"QueryExecution": execution}, {"QueryExecutionId": "q-1"})

    def stopped(self) -> None:
        self.stub.add_response("stop_query_execution", {}, {"QueryExecutionId": "q-1"})

    def page(self, rows: list[list[str]], token: str = "", after: str = "") -> None:
        expected = {"QueryExecutionId": "q-1", "MaxResults": 1000} | ({"NextToken": after} if after else {})
        data = [{"Data": [{"VarCharValue": cell} for cell in row]} for row in rows]
        answer: dict[str, Any] = {
            "ResultSet": {"Rows": data, "ResultSetMetadata": {"ColumnInfo": [{"Name": "n", "Type": "integer"}]}}
        }
        self.stub.add_response("get_query_results", answer | ({"NextToken": token} if token else {}), expected)

    def run(self, limits: Limits | None = None) -> athena.Answer:
        with self.stub:
            return self.athena.run("SELECT n FROM records", {}, limits or Limits())

    def fails(self, limits: Limits | None = None) -> TwokeysError:
        with pytest.raises(TwokeysError) as told:
            self.run(limits)
        self.stub.assert_no_pending_responses()
        return told.value


def test_progress_is_told_and_pages_are_put_together() -> None:
    played = Played()
    played.start()
    played.state("QUEUED")
    played.state("RUNNING", 2**20)
    played.state("SUCCEEDED", 30 * 2**30)
    played.page([["n"], ["1"], ["2"]], token="t1")
    played.page([["3"], ["n"]], after="t1")
    answer = played.run()
    assert answer.rows == ((1,), (2,), (3,), ("n",)), "the names are left out once, and only at the top"
    assert [one.state for one in played.told] == ["QUEUED", "RUNNING", "SUCCEEDED"]
    assert athena.cost(answer.scanned_bytes) == pytest.approx(0.1465, abs=0.0001)


def test_rows_beyond_the_limit_are_not_fetched() -> None:
    played = Played()
    played.start()
    played.state("SUCCEEDED")
    played.page([["n"], ["1"], ["2"], ["3"]], token="t1")
    answer = played.run(Limits(rows=2))
    assert (len(answer.rows), answer.truncated) == (2, True)


def test_a_place_that_comes_again_ends_the_reading() -> None:
    played = Played()
    played.start()
    played.state("SUCCEEDED")
    played.page([["n"], ["1"]], token="t1")
    played.page([["2"]], token="t1", after="t1")
    assert len(played.run().rows) == 2


def test_a_query_over_its_time_is_stopped() -> None:
    played = Played()
    played.start()
    for _ in range(7):
        played.state("RUNNING", 5 * 2**20)
    played.stopped()
    error = played.fails(Limits(seconds=4))
    assert (type(error), error.code) == (Unavailable, "query_timeout")
    assert "5.0 MB" in error.happened


def test_ctrl_c_stops_the_query_at_athena() -> None:
    played = Played()

    def interrupt(progress: athena.Progress) -> None:
        raise KeyboardInterrupt

    played.athena.tell = interrupt
    played.start()
    played.state("RUNNING")
    played.stopped()
    with pytest.raises(KeyboardInterrupt):
        played.run()
    played.stub.assert_no_pending_responses()


def test_a_stop_that_fails_hides_nothing() -> None:
    played = Played()
    played.start()
    played.stub.add_client_error("get_query_execution", "InternalServerException")
    played.stub.add_client_error("stop_query_execution", "InternalServerException")
    assert "q-1" in played.fails().not_done


@pytest.mark.parametrize(
    ("state", "reason", "code", "word"),
    [
        ("CANCELLED", "Bytes scanned limit was exceeded", "scan_cap", "ScanCapBytes"),
        ("CANCELLED", "", "query_stopped", "no reason given"),
        (
            "FAILED",
            "COLUMN_NOT_FOUND: line 1:8: Column 'caler\x1b' cannot be resolved",
            "query_failed",
            "caler<U+001B>",
        ),
    ],
)
def test_each_ending_says_what_to_try(state: str, reason: str, code: str, word: str) -> None:
    played = Played()
    played.start()
    played.state(state, 7, reason)
    error = played.fails()
    assert error.code == code
    assert word in str(error)


@pytest.mark.parametrize(
    ("code", "message", "kind", "word"),
    [
        ("ExpiredTokenException", "", Refused, "sign-in has ended"),
        ("UnrecognizedClientException", "", Refused, "credentials"),
        ("InvalidSignatureException", "Signature expired", Refused, "clock"),
        ("AccessDeniedException", "not authorized", Refused, "AuditorRole"),
        ("InvalidRequestException", "WorkGroup is not found.", InvalidInput, "AthenaWorkgroup"),
        ("TooManyRequestsException", "", Unavailable, "busy"),
        ("InternalServerException", "", Unavailable, "InternalServerException"),
    ],
)
def test_each_refusal_says_what_to_try(code: str, message: str, kind: type[TwokeysError], word: str) -> None:
    played = Played()
    played.stub.add_client_error("start_query_execution", code, message)
    error = played.fails()
    assert isinstance(error, kind)
    assert word in str(error)


def test_no_credentials_no_region_and_no_network_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    for raised, code in ((NoCredentialsError(), "no_credentials"),
                         (EndpointConnectionError(endpoint_url="https://x"), "aws_unreachable")):  # fmt: skip
        with pytest.raises(TwokeysError) as told, aws_clients.told("Athena", "Nothing."):
            raise raised
        assert told.value.code == code
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    with pytest.raises(InvalidInput, match="--region"):
        aws_clients.client("athena")
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(InvalidInput, match="AWS_PROFILE"):
        aws_clients.client("athena", "us-east-1")


def test_saved_queries_are_listed_and_explained() -> None:
    listed = CliRunner().invoke(audit, ["saved"], env={"COLUMNS": "200"})
    assert "in_doubt" in listed.output
    shown = CliRunner().invoke(audit, ["saved", "writes_to"], env={"COLUMNS": "200"})
    for word in ("object", "must be given", "public.orders", "now-30d", "SELECT"):
        assert word in shown.output
    assert isinstance(CliRunner().invoke(audit, ["saved", "writes_too"]).exception, InvalidInput)


def test_a_saved_query_runs_on_a_folder_too(tmp_path: Any) -> None:
    from tests.twokeys.recording import sample, store

    folder = str(store(tmp_path, sample()))
    arguments = ["query", "--folder", folder, "--saved", "breaks", "--param", "since=2026-11-01", "--format", "json"]
    result = CliRunner().invoke(audit, arguments)
    assert (result.exit_code, json.loads(result.stdout)) == (0, [])
    assert CliRunner().invoke(audit, ["query", "--folder", folder]).exit_code == 2
    assert CliRunner().invoke(audit, ["query", "SELECT 1", "--saved", "breaks"]).exit_code == 2
