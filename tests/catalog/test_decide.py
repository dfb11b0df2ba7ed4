"""Prices, mark-ups and schemas: what is taken, and what is not."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.catalog.decide import Terms, checked_schema, parse_markup, quote, recent_run_seconds, usual_price


@pytest.mark.parametrize(
    ("value", "micro"), [("1", 10**6), ("1.2", 1_200_000), (1.2, 1_200_000), (0, 0), (1e-6, 1), ("1000", 10**9)]
)
def test_markups(value: object, micro: int) -> None:
    assert parse_markup(value) == micro


@pytest.mark.parametrize(
    "value", ["", "-1", "1001", "0.0000001", "NaN", "1e2", "1_0", None, True, [], math.inf, math.nan, 10**400, -1]
)
def test_what_is_no_markup(value: object) -> None:
    with pytest.raises(ValueError, match="expected a factor"):
        parse_markup(value)


@given(st.integers(0, 10**15))
def test_the_usual_price_is_half_as_much_again_rounded_up(cost: int) -> None:
    assert 0 <= 2 * usual_price(cost) - 3 * cost <= 1


@pytest.mark.parametrize(
    "schema",
    [
        [], None, True, "x",
        {"type": "thing"},
        {"properties": {"a": {"pattern": "("}}},
        {"$ref": "http://127.0.0.1:1/schema"},
        {"$ref": "file:///etc/hostname"},
        {"$ref": "#/nowhere"},
        {"description": "x" * 70_000},
    ],
)  # fmt: skip
def test_schemas_that_judge_nothing(schema: object) -> None:
    with pytest.raises(ValueError, match=r"expected|not a JSON Schema"):
        checked_schema(schema)


def test_a_schema_stays_as_it_is() -> None:
    schema = {"type": "object", "$defs": {"a": {"type": "string"}}, "properties": {"b": {"$ref": "#/$defs/a"}}}
    assert checked_schema(schema) is schema


def test_recent_run_times() -> None:
    assert recent_run_seconds([]) is None
    assert recent_run_seconds([3.0]) == (3.0, 3.0)
    assert recent_run_seconds([10.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]) == (5.0, 9.0)


def test_whose_price_counts() -> None:
    def quoted(price: int | None, of_tenant: int | None) -> int:
        return quote(Terms(price), default_price_micro=of_tenant, fallback_micro=1)

    assert [quoted(5, 2), quoted(0, 2), quoted(None, 2), quoted(None, 0), quoted(None, None)] == [5, 0, 2, 0, 1]
