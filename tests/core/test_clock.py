"""Instants: RFC 3339 and nothing else, as everybody writes them."""

from datetime import UTC, datetime

import pytest

from app.core.clock import parse_instant
from app.core.errors import Malformed
from app.web.requests import checked_instant

NO_INSTANTS = (
    "20260131T120000Z",
    "2026-W05-6T12:00:00Z",
    "2026-01-31T12:00Z",
    "2026-01-31x12:00:00+00:00",
    "2026-01-31T12:00:00,5Z",
    "2026-01-31T12:00:00+00:00:30",
    "2026-01-31T12:00:00 Z",
    "2026-01-31T12:00:00",
    "2026-01-31",
    "2026-02-30T12:00:00Z",
    "2026-01-31T24:00:00Z",
    "\u0662026-01-31T12:00:00Z",
    "9999-12-31T23:59:59-01:00",
    "0001-01-01T00:00:00+01:00",
    "infinity",
    "",
    None,
    1769860800,
)


@pytest.mark.parametrize(
    "text",
    ["2026-01-31T12:00:00Z", "2026-01-31t12:00:00z", "2026-01-31 13:00:00+01:00", "2026-01-31T12:00:00.000-00:00"],
)
def test_an_instant_is_shown_in_utc(text: str) -> None:
    assert parse_instant(text) == datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert checked_instant(text, "$.at").tzinfo is UTC


@pytest.mark.parametrize("text", NO_INSTANTS)
def test_what_is_no_instant_is_refused_by_the_name_of_its_field(text: str) -> None:
    with pytest.raises(Malformed) as refused:
        checked_instant(text, "$.not_before")
    assert [problem.path for problem in refused.value.problems] == ["$.not_before"]
