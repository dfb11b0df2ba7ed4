"""Names, expiries and changes: what is taken, and which field a refusal names."""

from datetime import UTC, datetime, timedelta

import pytest

from app.core.errors import Malformed
from app.tenants.decide import (
    checked_expiry,
    checked_key_name,
    checked_scopes,
    checked_tenant_name,
    parse_expires,
    parse_scopes,
)
from app.tenants.models import ALL_SCOPES, Scope

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("name", ["a", "Acme", "0", "a.b_c-d", "ten_x", "x" * 63])
def test_tenant_names(name: str) -> None:
    assert checked_tenant_name(name) == name


@pytest.mark.parametrize(
    "name", ["", "-a", ".a", "a b", "a/b", "é", "x" * 64, "a\n", "ten_0190f2c07b7a7c3e9d5b1f0e2a4c6d8e"]
)
def test_names_no_tenant_may_have(name: str) -> None:
    with pytest.raises(Malformed) as refused:
        checked_tenant_name(name)
    assert [problem.path for problem in refused.value.problems] == ["$.name"]


@pytest.mark.parametrize("name", ["a\x00b", "a\nb", "x" * 101, "\ud800"])
def test_names_no_key_may_have(name: str) -> None:
    with pytest.raises(Malformed):
        checked_key_name(name)
    assert checked_key_name("CI, déjà vu") == "CI, déjà vu"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30d", NOW + timedelta(days=30)),
        ("12h", NOW + timedelta(hours=12)),
        ("90m", NOW + timedelta(minutes=90)),
        ("2w", NOW + timedelta(weeks=2)),
        ("1s", NOW + timedelta(seconds=1)),
        ("2030-01-31T12:00:00Z", datetime(2030, 1, 31, 12, tzinfo=UTC)),
        ("2030-01-31t12:00:00.5z", datetime(2030, 1, 31, 12, 0, 0, 500_000, tzinfo=UTC)),
        ("2030-01-31T14:00:00+02:00", datetime(2030, 1, 31, 12, tzinfo=UTC)),
    ],
)
def test_expiries(text: str, expected: datetime) -> None:
    assert parse_expires(text, now=NOW) == expected


@pytest.mark.parametrize(
    "text",
    ["", "soon", "30", "d", "-1d", "1y", "2030-01-31", "2030-01-31T12:00:00", "2030-02-31T12:00:00Z", "999999999w"],
)
def test_what_is_no_expiry(text: str) -> None:
    with pytest.raises(Malformed, match="expires_at"):
        parse_expires(text, now=NOW)


def test_an_expiry_lies_ahead() -> None:
    assert checked_expiry(None, now=NOW) is None
    with pytest.raises(Malformed, match="in the future"):
        checked_expiry(NOW, now=NOW)


def test_scopes() -> None:
    assert checked_scopes(None) == list(ALL_SCOPES)
    assert parse_scopes(["jobs:read,jobs:write", "jobs:read"]) == [Scope.JOBS_WRITE, Scope.JOBS_READ]
    with pytest.raises(Malformed, match="at least one"):
        checked_scopes([])
    with pytest.raises(Malformed, match="'jobs:all'"):
        parse_scopes(["jobs:all"])
