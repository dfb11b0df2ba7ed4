"""JSON from strangers: what is read is what everybody else reads, and equal requests have one spelling."""

import contextlib
import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core import strict_json
from app.core.errors import Malformed
from app.core.strict_json import canonical, parse_object

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)
objects = st.dictionaries(st.text(max_size=5), values, max_size=5)


@given(objects)
def test_what_is_json_is_read(value: dict[str, Any]) -> None:
    assert parse_object(json.dumps(value).encode()) == _looked_at(value)


def _looked_at(value: Any) -> Any:
    """With integers beyond 64 bits as the doubles next to them."""
    if isinstance(value, dict):
        return {key: _looked_at(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_looked_at(one) for one in value]
    return float(value) if isinstance(value, int) and not -(2**63) <= value < 2**64 else value


@given(st.binary(max_size=200))
def test_anything_is_read_or_refused(body: bytes) -> None:
    read: object = None
    with contextlib.suppress(Malformed):
        read = parse_object(body)
    assert read is None or isinstance(read, dict)


@given(objects, st.randoms())
def test_spelling_does_not_matter(value: dict[str, Any], chance: Any) -> None:
    keys = list(value)
    chance.shuffle(keys)
    other = {key: value[key] for key in keys}
    one = canonical("m", json.dumps(value).encode())
    assert one == canonical("m", json.dumps(other, indent=2, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    assert one != canonical("n", json.dumps(value).encode())


@given(objects, objects)
def test_other_values_have_another_spelling(one: dict[str, Any], other: dict[str, Any]) -> None:
    same = canonical("m", json.dumps(one).encode()) == canonical("m", json.dumps(other).encode())
    assert same == (_typed(one) == _typed(other))


def _typed(value: Any) -> Any:
    """With booleans and numbers apart, and numbers by value."""
    if isinstance(value, dict):
        return {key: _typed(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_typed(one) for one in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return ("number", int(value))
    return (type(value).__name__ if not isinstance(value, int) or isinstance(value, bool) else "number", value)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("1.0", "1", True),
        ("1e2", "100", True),
        ("-0.0", "0", True),
        ("0.1", "1e-1", True),
        ("0.10", "0.1", True),
        ("1e999", "2e999", False),
        ("1e999", "10e998", True),
        ("1e-400", "0", False),
        ("0e99999999999999999999999", "0", False),
        ("0.1", "0.10000000000000000001", False),
        ("123456789012345678901", "123456789012345678902", False),
        ("9007199254740993.0", "9007199254740992.0", False),
        ("1e22", "1e23", False),
    ],
)
def test_numbers_are_told_apart_as_written(one: str, other: str, same: bool) -> None:
    spelt = [canonical("m", f'{{"a":{number}}}'.encode()) for number in (one, other)]
    assert (spelt[0] == spelt[1]) == same


def test_doubles_are_spelt_as_json_has_them() -> None:
    assert (
        canonical("m", b'{"b":[0.5,1.0,1e300],"a":"\\u00e9"}')
        == b'{"input":{"a":"\\u00e9","b":[0.5,1,1e+300]},"model":"m"}'
    )
    assert math.isinf(parse_object(b'{"a":1e999}')["a"])


def test_the_digits_of_a_body_are_bounded() -> None:
    long = b"9" * 3_999
    assert parse_object(b'{"a":[' + b",".join([long] * 25) + b"]}")["a"][0] == 1e308
    with pytest.raises(Malformed, match=r"more than 100000 digits together"):
        parse_object(b'{"a":[' + b",".join([long] * 26) + b"]}")
    with pytest.raises(Malformed, match=r"more than 100000 digits together"):
        parse_object(b'{"a":0.' + b"9" * 100_001 + b"}")
    with pytest.raises(Malformed, match="more than 4000 digits"):
        parse_object(b'{"a":' + b"9" * 4_001 + b"}")


@pytest.mark.parametrize(
    ("number", "slow"),
    [
        ("0.00021060533511106927", False), ("-0.1234567890123456789012345678901234567", False), ("123456789012345678", False),
        ("1e18", False), ("1234567890123456789", True), ("-1234567890123456789", True), ("1234567890123456789.5", True),
        ("1e0000000000000000001", True), (f"0.{'1' * 40}", True),
    ],
)  # fmt: skip
def test_only_long_numbers_are_looked_at_one_by_one(number: str, slow: bool) -> None:
    """An ordinary float has up to twenty digits behind the point: a body of those is read five times faster."""
    body = f'{{"a":{number}}}'.encode()
    assert (strict_json._decoder_for(body) is not strict_json._DECODER) == slow
    assert parse_object(body) == {"a": json.loads(number)}


@given(
    st.lists(
        st.tuples(st.integers(1, 60), st.none() | st.integers(1, 60), st.none() | st.integers(1, 30)),
        min_size=1,
        max_size=3,
    )
)
def test_no_number_of_more_than_a_hundred_digits_is_missed(parts: list[tuple[int, int | None, int | None]]) -> None:
    numbers = [
        "1" * whole
        + ("" if fraction is None else "." + "2" * fraction)
        + ("" if exponent is None else "e-" + "0" * exponent)
        for whole, fraction, exponent in parts
    ]
    body = f'{{"a":[{",".join(numbers)}]}}'.encode()
    if any(len(number) > strict_json.SHORT_DIGITS for number in numbers):
        assert strict_json._decoder_for(body) is not strict_json._DECODER
    assert parse_object(body)["a"] == pytest.approx([float(number) for number in numbers])


def test_digits_in_texts_and_short_numbers_are_as_many_as_they_like() -> None:
    assert parse_object(b'{"a":"' + b"1" * 200_000 + b'","b":[' + b",".join([b"1" * 40] * 9_000) + b"]}")["a"]


@pytest.mark.parametrize("digits", [19, 20, 40, 399, 401, 3_999])
def test_long_integers_are_told_apart_by_their_last_digit(digits: int) -> None:
    one, other = (canonical("m", b'{"a":%b%d}' % (b"7" * (digits - 1), last)) for last in (1, 2))
    assert one != other
