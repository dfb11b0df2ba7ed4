"""The upstream's JSON inside our own: any reader of JSON reads it, and nothing changes that need not."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.upstream.json_members import NotAnObject, slices, text_of
from app.upstream.plain_json import plain_json


def strictly(raw: bytes) -> Any:
    """As a reader that takes nothing but JSON."""

    def refuse(name: str) -> None:
        raise ValueError(name)

    return json.loads(raw.decode(), parse_constant=refuse)


@pytest.mark.parametrize(
    ("raw", "shown", "lossy"),
    [
        (b'"caf\xc3\xa9"', b'"caf\xc3\xa9"', False),
        (b'"caf\xe9"', '"caf\ufffd"'.encode(), True),
        (b'{"\xff":[1,"\xc3"]}', '{"\ufffd":[1,"\ufffd"]}'.encode(), True),
        (b'"a\nb\x00\x1f"', b'"a\\u000ab\\u0000\\u001f"', False),
        (b'[\n\t1,\r\n "a\\n\\"\n"]', b'[\n\t1,\r\n "a\\n\\"\\u000a"]', False),
        (b"[NaN,-Infinity,Infinity]", b"[null,null,null]", True),
        (b'["NaN","-Infinity \\" NaN",1]', b'["NaN","-Infinity \\" NaN",1]', False),
        (b'{"NaN":NaN}', b'{"NaN":null}', True),
        (b"[1e999,0.10,123456789012345678901234567890]", b"[1e999,0.10,123456789012345678901234567890]", False),
        (b'"\\ud800"', b'"\\ud800"', False),
        (b'"\xe2\x80\xa8\x7f"', b'"\xe2\x80\xa8\x7f"', False),
    ],
)
def test_by_example(raw: bytes, shown: bytes, lossy: bool) -> None:
    assert plain_json(text_of(raw)) == (shown, lossy)
    strictly(shown)


@pytest.mark.parametrize("coding", ["utf-16", "utf-16-le", "utf-32-be"])
def test_another_coding_is_no_json_for_anybody(coding: str) -> None:
    with pytest.raises(NotAnObject):
        slices('{"output":"\u00e9"}'.encode(coding), "output")


_STRINGS = st.binary(max_size=12).map(lambda raw: b'"' + raw.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"')
_VALUES = st.recursive(
    st.sampled_from([b"NaN", b"-Infinity", b"Infinity", b"1", b"-0.5e3", b"true", b"null"]) | _STRINGS,
    lambda inner: (
        st.lists(inner, max_size=4).map(lambda items: b"[ " + b",\n".join(items) + b"\t]")
        | st.lists(st.tuples(_STRINGS, inner), max_size=3).map(
            lambda members: b"{" + b",".join(key + b":" + value for key, value in members) + b"}"
        )
    ),
)


@given(_VALUES)
def test_whatever_wire_takes_is_shown_as_json(raw: bytes) -> None:
    text = slices(b'{"output":' + raw + b"}", "output")["output"]
    shown, lossy = plain_json(text)
    constants: list[str] = []
    told, read = json.loads(text, strict=False, parse_constant=constants.append), strictly(shown)
    assert lossy == (bool(constants) or not _is_utf_8(raw))
    if not lossy:
        assert read == told
        assert len(shown) == len(raw) or any(code < 0x20 for code in raw)


def _is_utf_8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True
