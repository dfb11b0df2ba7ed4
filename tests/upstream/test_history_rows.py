"""Rows, pages and instants of the request history in every spelling that may be expected."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from app.upstream.account import read_credits
from app.upstream.history_rows import HistoryRow, holds, once_each, read_instant, read_page, read_row
from app.upstream.readings import NotRead, parse

GIVEN = """{"request_id":"4741","model_name":"motionctrl-svd","model_status":"COMPLETED",
"model_created":"2026-11-22T10:00:01.123Z","credits_deduction":0.0893,"request_body":{"fps":7,"motion":"CW"},
"generation_url":"https://images.segmind.com/a.mp4","latency_ms":62738,"error":null}"""


def row(**changes: Any) -> HistoryRow | None:
    return read_row(parse(GIVEN.encode()) | changes)


def test_a_row() -> None:
    assert row() == HistoryRow(
        upstream_id="4741",
        model="motionctrl-svd",
        status="COMPLETED",
        created_at=datetime(2026, 11, 22, 10, 0, 1, 123000, tzinfo=UTC),
        ended_at=datetime(2026, 11, 22, 10, 1, 3, 861000, tzinfo=UTC),
        cost_micro=89_300,
        body={"fps": 7, "motion": "CW"},
        output_url="https://images.segmind.com/a.mp4",
        error=None,
    )


@pytest.mark.parametrize(
    ("told", "micro"),
    [
        (None, None),
        (0, 0),
        (Decimal("0.0893"), 89_300),
        ("0.0893", 89_300),
        (Decimal("1E-7"), 0),
        (Decimal("0.0184921035"), 18_492),
        (-1, None),
        (True, None),
        ([], None),
        ("much", None),
        (Decimal("1e400"), None),
    ],
)
def test_a_cost_is_exact_or_not_told(told: Any, micro: int | None) -> None:
    found = row(credits_deduction=told)
    assert found is not None
    assert found.cost_micro == micro


@pytest.mark.parametrize(
    "changes",
    [{"request_id": None}, {"request_id": 7}, {"request_id": ""}, {"request_id": ".."}, {"request_id": "a\n"}],
)
def test_a_row_that_names_no_request_is_none(changes: dict[str, Any]) -> None:
    assert row(**changes) is None
    assert read_row([]) is None


def test_a_row_of_nothing_but_rubbish_is_read() -> None:
    found = row(
        model_name=7, model_status={}, model_created="yesterday", credits_deduction="x", request_body="{", latency_ms="x",
        generation_url=[], error={},
    )  # fmt: skip
    assert found == HistoryRow("4741", None, None, None, None, None, None, None, None)


@pytest.mark.parametrize(
    "told",
    [
        "2026-11-22T10:00:01.5Z",
        "2026-11-22 10:00:01.500",
        "2026-11-22T12:00:01.500000000+02:00",
        "2026-11-22T12:00:01.5+0200",
        " 2026-11-22 10:00:01.5 UTC ",
        Decimal("1795341601.5"),
        1795341601500,
    ],
)
def test_instants(told: Any) -> None:
    assert read_instant(told) == datetime(2026, 11, 22, 10, 0, 1, 500000, tzinfo=UTC)


@pytest.mark.parametrize("told", [None, "", "2026-13-01T00:00:00Z", "22.11.2026", True, {}, 10**30, Decimal("1e300")])
def test_no_instants(told: Any) -> None:
    assert read_instant(told) is None


@pytest.mark.parametrize(
    ("rest", "rows", "more"),
    [
        ({}, 2, False),
        ({}, 3, True),
        ({"total": 4}, 2, True),
        ({"total": 2}, 2, False),
        ({"total": 300}, 0, False),
        ({"total_pages": 2}, 1, True),
        ({"next_page": 2}, 1, True),
        ({"next_page": None, "total": 1}, 1, False),
        ({"pagination": {"next_page": "/x?page=2"}}, 1, True),
        ({"meta": {"total": 9, "per_page": 1}}, 1, True),
        ({"total": "many", "total_pages": None}, 1, False),
    ],
)
def test_whether_there_is_another_page(rest: dict[str, Any], rows: int, more: bool) -> None:
    page = read_page({"data": [{"request_id": str(number)} for number in range(rows)], **rest}, page=1, per_page=3)
    assert (len(page.rows), page.more) == (rows, more)


def test_lists_and_rubbish() -> None:
    assert [one.upstream_id for one in read_page([{"request_id": "a"}, 7, None, {}], page=1).rows] == ["a"]
    assert read_page({"data": {"items": [{"request_id": "a"}, 7]}}, page=1).skipped == 1
    for answer in (None, 7, {}, {"data": None}, {"data": {}}, {"error": "x"}):
        with pytest.raises(NotRead):
            read_page(answer, page=1)


def test_one_row_a_request() -> None:
    first, second = row(credits_deduction=None), row()
    other = row(request_id="b")
    assert first is not None
    assert second is not None
    assert other is not None
    assert once_each([first, other, second, first]) == [second, other]


def test_bodies_that_may_be_the_same() -> None:
    ours = parse(b'{"fps":"7","motion":"CW","deep":[{"a":1.0}],"none":null}')
    assert holds(parse(b'{"fps":7,"motion":"CW","deep":[{"a":1,"b":2}],"none":null,"seed":5}'), ours)
    for other in (b'{"fps":8}', b'{"fps":7}', b"{}", b'{"fps":7,"motion":"CW","deep":[],"none":null}'):
        assert not holds(parse(other), ours)
    assert not holds({"a": True}, {"a": 1})
    assert not holds({"a": None}, {"a": 0})
    assert holds({"a": 1}, {})


@pytest.mark.parametrize(
    ("answer", "paid", "free"),
    [
        (b'{"credits":0.0,"free-credits":0.0184921035}', 0, 18_492),
        (b'{"credits":12.5}', 12_500_000, 0),
        (b'{"credits":"12.5","free-credits":null}', 12_500_000, 0),
        (b'{"credits":-0.25,"free-credits":1}', -250_000, 1_000_000),
    ],
)
def test_credits(answer: bytes, paid: int, free: int) -> None:
    found = read_credits(parse(answer))
    assert (found.paid_micro, found.free_micro, found.total_micro) == (paid, free, paid + free)


@pytest.mark.parametrize(
    "answer", [b"{}", b"[]", b'{"credits":null}', b'{"credits":true}', b'{"credits":[]}', b'{"credits":"x"}']
)
def test_no_credits(answer: bytes) -> None:
    with pytest.raises(NotRead):
        read_credits(parse(answer))


@pytest.mark.parametrize("body", [b"", b"{", b"<html>", b"[" * 100_000, b"1e"])
def test_what_is_no_json_is_not_read(body: bytes) -> None:
    with pytest.raises(NotRead):
        parse(body)
