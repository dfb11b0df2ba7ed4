"""What operators write as KEY=VALUE, and how what they asked is written down."""

from datetime import UTC, datetime

import pytest

from app.admin.decide import checked_amount, checked_operator_name, checked_role, parse_settings
from app.audit.operations import told
from app.core.errors import Malformed


def test_settings_as_they_are_written() -> None:
    assert parse_settings(["name=acme", "suspended=true"]) == {"name": "acme", "suspended": True}
    assert parse_settings(["max_price=0.5", "default_price=0", "overdraft=12.000001", "models=b, a,b"]) == {
        "max_price": 500_000,
        "default_price": 0,
        "overdraft": 12_000_001,
        "models": ["a", "b"],
    }
    cleared = parse_settings(
        ["max_price=null", "daily_credits=", "monthly_credits=none", "models=null", "overdraft=null"]
    )
    assert cleared == {
        "max_price": None, "daily_credits": None, "monthly_credits": None, "models": None, "overdraft": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ("colour=blue", "colour: unknown setting"),
        ("suspended=maybe", "suspended: expected"),
        ("name=a b", "name: expected"),
        ("x", "KEY=VALUE"),
        ("max_price=-1", "max_price: expected credits"),
        ("daily_credits=1e3", "daily_credits: expected credits"),
        ("overdraft=0.0000001", "overdraft: expected credits"),
        ("models=a b", "models: expected model slugs"),
        ("models=a,,b", "models: expected model slugs"),
    ],
)
def test_a_slip_names_its_field(wrong: str, named: str) -> None:
    with pytest.raises(Malformed, match=named):
        parse_settings([wrong])


def test_amounts_that_move_nothing() -> None:
    assert checked_amount("-1", field="amount", signed=True) == -1_000_000
    for wrong in ("0", "0.000000", "-1", 1, None):
        with pytest.raises(Malformed) as refused:
            checked_amount(wrong, field="amount")
        assert [problem.path for problem in refused.value.problems] == ["$.amount"]


def test_operators() -> None:
    assert checked_operator_name("on-call.b-c_1") == "on-call.b-c_1"
    for wrong in ("", "admin key", "-a", "a" * 64, "é"):
        with pytest.raises(Malformed):
            checked_operator_name(wrong)
    assert checked_role("viewer") == "viewer"
    with pytest.raises(Malformed, match="admin or viewer"):
        checked_role("root")


def test_what_was_asked_is_written_as_it_is_shown() -> None:
    asked = {"amount": 89_300, "reference": "r", "expires_at": datetime(2030, 1, 1, tzinfo=UTC), "overdraft": None}
    assert told(asked) == {
        "amount": "0.089300",
        "reference": "r",
        "expires_at": "2030-01-01T00:00:00.000Z",
        "overdraft": None,
    }
