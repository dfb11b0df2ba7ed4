"""Results come back value for value: every rewriting is compared by a parser that keeps numbers as their text."""

import itertools
import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.upstream.json_members import NotAnObject, bytes_of, member, members, string_of, text_of
from app.upstream.wire import Metrics, error_member, metrics_of, micro_of, rewritten, storable, upstream_id_of

OURS = "job_01902f5c7b1a7c3e8d4f"

# Values as their JSON text, so that what no parser keeps (1e-400, lone surrogates, spacing) can be drawn too

spaces = st.sampled_from(["", " ", "\n  ", "\t", "\r\n"])
strings = st.one_of(
    st.text(max_size=8).map(json.dumps),
    st.text(max_size=8).map(lambda text: json.dumps(text, ensure_ascii=False)),
    st.sampled_from([r'"\u0000"', r'"\ud800"', r'"\udfff\ud800"', r'"a,\"}{]["', r'"\/\\"', '"request_id"', '"é😀"']),
)
numbers = st.one_of(
    st.integers().map(str),
    st.sampled_from(
        ["1e-400", "1e131071", "-0", "-0.0", "0.10", "1E+2", "9" * 5000, "12345678901234567890.5", "NaN", "-Infinity"]
    ),
)
scalars = st.one_of(strings, numbers, st.sampled_from(["true", "false", "null"]))
keys = st.one_of(
    strings,
    st.sampled_from(['"request_id"', r'"request\u005fid"', '"metrics"', '"remaining_credits"', '"status"', '"output"']),
)


@st.composite
def objects(draw: st.DrawFn, values: st.SearchStrategy[str]) -> str:
    parts = [
        f"{draw(spaces)}{draw(keys)}{draw(spaces)}:{draw(spaces)}{draw(values)}{draw(spaces)}"
        for _ in range(draw(st.integers(0, 5)))
    ]
    return "{" + (",".join(parts) or draw(spaces)) + "}"


def arrays(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(values, max_size=4).map(lambda items: "[" + " , ".join(items) + "]")


texts = st.recursive(scalars, lambda inner: st.one_of(objects(inner), arrays(inner)), max_leaves=12)
bodies = st.builds(lambda a, b, c: f"{a}{b}{c}", spaces, objects(texts), spaces)


class Pairs(list[tuple[str, Any]]):
    """An object as its members in order, duplicates included."""


def parsed(text: str) -> Any:
    """The document with every number as its text and every object as its pairs."""
    decoder = json.JSONDecoder(
        parse_int=lambda digits: ("number", digits),
        parse_float=lambda digits: ("number", digits),
        parse_constant=lambda name: ("number", name),
        object_pairs_hook=Pairs,
        strict=False,
    )
    return decoder.decode(text)


def expected(document: Pairs, remaining_credits: str | None) -> Pairs:
    shown = Pairs()
    for key, value in document:
        if key == "request_id":
            shown.append((key, OURS))
        elif key == "metrics" and isinstance(value, Pairs):
            kept = Pairs()
            for inner, figure in value:
                if inner != "remaining_credits":
                    kept.append((inner, figure))
                elif remaining_credits is not None:
                    kept.append((inner, ("number", remaining_credits)))
            shown.append((key, kept))
        else:
            shown.append((key, value))
    if all(key != "request_id" for key, _ in document):
        shown.append(("request_id", OURS))
    return shown


@settings(max_examples=400, deadline=None)
@given(bodies, st.sampled_from([None, "12.340000", "0"]))
def test_rewriting_changes_two_members_and_nothing_else(text: str, remaining_credits: str | None) -> None:
    shown = rewritten(bytes_of(text), request_id=OURS, remaining_credits=remaining_credits)
    assert parsed(text_of(shown)) == expected(parsed(text), remaining_credits)
    assert rewritten(shown, request_id=OURS, remaining_credits=remaining_credits) == shown


@settings(max_examples=200, deadline=None)
@given(bodies)
def test_members_tile_the_object(text: str) -> None:
    found = list(members(text))
    document = parsed(text)
    assert [one.key for one in found] == [key for key, _ in document]
    for one, (_, value) in zip(found, document, strict=True):
        assert parsed(text[one.value_start : one.value_end]) == value
        assert one.start < one.value_start < one.value_end <= one.end
    assert all(text[before.end] == "," and before.end + 1 == after.start for before, after in itertools.pairwise(found))
    rebuilt = ",".join(text[one.start : one.end] for one in found)
    assert not found or text.strip() == "{" + rebuilt + "}"


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=60),
        bodies.map(bytes_of).flatmap(lambda body: st.integers(0, len(body)).map(lambda end: body[:end])),
    )
)
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    assert bytes_of(text_of(body)) == body
    try:
        shown = rewritten(body, request_id=OURS, remaining_credits=None)
    except NotAnObject:
        assert not _is_object(body)
    else:
        assert string_of(text_of(member(shown, "request_id") or b"")) == OURS


def _is_object(body: bytes) -> bool:
    try:
        return isinstance(parsed(text_of(body).removeprefix("\ufeff")), Pairs)
    except ValueError:
        return False


SHOWN = [
    (b'{"request_id":"u","a":1}', b'{"request_id":"OURS","a":1}'),
    (b'{ "a" : 1 }', b'{ "a" : 1,"request_id":"OURS" }'),
    (b"{\n}", b'{"request_id":"OURS"\n}'),
    (b'{"request_id":1,"request_id":[2]}', b'{"request_id":"OURS","request_id":"OURS"}'),
    (b'{"request_id":"u","x":{"request_id":"inner"}}', b'{"request_id":"OURS","x":{"request_id":"inner"}}'),
    (
        b'{"request_id":"u","metrics":{"cost":0.05, "remaining_credits": 99.1, "t":1}}',
        b'{"request_id":"OURS","metrics":{"cost":0.05, "t":1}}',
    ),
    (b'{"request_id":"u","metrics":{"remaining_credits":1}}', b'{"request_id":"OURS","metrics":{}}'),
    (
        b'{"request_id":"u","metrics":{"a":1,"remaining_credits":1,"remaining_credits":2}}',
        b'{"request_id":"OURS","metrics":{"a":1}}',
    ),
    (b'{"request_id":"u","metrics":{ },"m":null}', b'{"request_id":"OURS","metrics":{ },"m":null}'),
    (b'{"request_id":"u","metrics":"none"}', b'{"request_id":"OURS","metrics":"none"}'),
    (b'{"request_id":"u","raw":"\xff\xed\xa0\x80"}', b'{"request_id":"OURS","raw":"\xff\xed\xa0\x80"}'),
]


@pytest.mark.parametrize(("body", "shown"), SHOWN)
def test_rewritten_byte_for_byte(body: bytes, shown: bytes) -> None:
    assert rewritten(body, request_id="OURS", remaining_credits=None) == shown


def test_credits_of_the_tenant_take_the_place_of_the_company_s() -> None:
    body = b'{"request_id":"u","metrics":{"remaining_credits" : 99.1 ,"cost":1}}'
    shown = rewritten(body, request_id="OURS", remaining_credits="7.250000")
    assert shown == b'{"request_id":"OURS","metrics":{"remaining_credits" : 7.250000 ,"cost":1}}'


@pytest.mark.parametrize(
    "body",
    [
        b"", b"null", b"[]", b'"a"', b"{", b'{"a"', b'{"a":', b'{"a":1', b'{"a":1,', b'{"a":1,}', b'{"a":1}x', b"{}{}", b"{a:1}",
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
        b'{"a":1' + b',"a":1' * 10_000 + b"}", b'{"a":[' + b"[[[]]]," * 1_000_000 + b"0]}", "{}".encode("utf-16"),
    ],
    ids=range(18),
)  # fmt: skip
def test_what_is_no_object_or_too_much_of_one_is_refused(body: bytes) -> None:
    with pytest.raises(NotAnObject):
        list(members(text_of(body)))
    with pytest.raises(NotAnObject):
        member(body, "a")


def test_single_members() -> None:
    body = b'\xef\xbb\xbf {"error": "first", "output":  {"a" : 1e-400} , "error": null}'
    assert member(body, "output") == b'{"a" : 1e-400}'
    assert error_member(body) == b"null"
    assert member(body, "absent") is None


@pytest.mark.parametrize(
    ("raw", "usable"),
    [
        ('"47411f110c6fa4fe05dcb9ffed2c1962"', "47411f110c6fa4fe05dcb9ffed2c1962"),
        ('"a/../b?c#d %"', "a/../b?c#d %"),
        (r'"\u0061"', "a"),
        *[
            (raw, None)
            for raw in ('""', '"."', '".."', "1", "null", "[]", '"é"', r'"\n"', r'"\u0000"', f'"{"a" * 201}"')
        ],
        (None, None),
    ],
)
def test_which_ids_can_be_asked_for(raw: str | None, usable: str | None) -> None:
    assert upstream_id_of(raw) == usable


@pytest.mark.parametrize(
    ("raw", "micro"),
    [
        ("0.05", 50_000), ("0.0893", 89_300), ('"0.05"', 50_000), ("0", 0), ("5.288", 5_288_000), ("3.3e-6", 3), ("0.0000005", 1),
        ("1e-400", 0), ("0.1234567890123456789012345678901234567890", 123_457), ("999999999.999999", 999_999_999_999_999),
        ("-1", None), ("1e9", None), ("1e131071", None), ("1e999999", None), ("9" * 5000, None), ("NaN", None), ("Infinity", None),
        ("null", None), (None, None), ("true", None), ('"free"', None), ("{}", None), ('"١"', None), ("1e-99999999999", None),
    ],
)  # fmt: skip
def test_cost_is_read_from_the_text(raw: str | None, micro: int | None) -> None:
    assert micro_of(raw) == micro


@given(st.decimals(0, 10**6, places=6))
def test_cost_is_exact_to_the_micro_credit(credits: Decimal) -> None:
    assert micro_of(str(credits)) == int(credits * 10**6)


def test_metrics_that_are_absent_are_none_and_never_zero() -> None:
    assert metrics_of(None) is None
    assert metrics_of("null") is None
    assert metrics_of("{}") == Metrics(None, None, None, None, None)
    raw = '{"inference_time":13.06,"queue_time":1e999,"total_time":-1,"cost":0.05,"remaining_credits":12.50,"retry_count":1}'
    assert metrics_of(raw) == Metrics(13.06, None, None, 50_000, "12.50")


def test_words_are_made_storable() -> None:
    assert storable("a\x00b\ud800c😀") == "a\ufffdb\ufffdc😀"
    assert len(storable("x" * 10_000)) == 8_000
    assert storable("\udcff" * 9_000).encode().decode() == "\ufffd" * 8_000
