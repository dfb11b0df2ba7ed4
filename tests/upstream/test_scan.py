"""Where a value ends is what Python's own decoder says, and found in time that grows with the length alone."""

import json
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.upstream.scan import DEPTH_MAX, RUN_VALUES, TooDeep, TooManyValues, value_end
from tests.upstream.test_wire import texts

DECODER = json.JSONDecoder(strict=False)
MEGABYTE = 1_000_000

lengths = st.integers(0, 3 * RUN_VALUES)
repeated = st.builds(lambda item, number: "[" + ",".join([item] * (number + 1)) + "]", texts, lengths)
spoilt = st.builds(
    lambda text, at, piece: text[: at % (len(text) + 1)] + piece + text[at % (len(text) + 1) :],
    st.one_of(texts, repeated),
    st.integers(0, 10_000),
    st.sampled_from(
        [",", "]", "}", "[", "{", '"', "\\", ":", " ", "-", "0", ".", "e", "\\u12", "é", "\x00", "nul", ""]
    ),
)


def by_decoder(text: str) -> int | None:
    try:
        return DECODER.raw_decode(text)[1]
    except ValueError:  # no JSON, or a number of more digits than Python turns into an int
        return None


def found(text: str) -> int | None:
    try:
        return value_end(text, 0)
    except json.JSONDecodeError:
        return None


@settings(max_examples=500, deadline=None)
@given(text=st.one_of(texts, repeated, spoilt), behind=st.sampled_from(["", " ", ",1", "}", "x"]))
def test_it_ends_where_the_decoder_says(text: str, behind: str) -> None:
    text = re.sub("[0-9]{4000,}", "9" * 4000, text) + behind
    assert found(text) == by_decoder(text)


@pytest.mark.parametrize(
    "text",
    [
        '"' + "x" * 300 + '"', '["' + r"\n" * 40 + '",1]', "[" + "9" * 100 + "]", "[0." + "1" * 100 + "e" + "1" * 60 + ",2]",
        "[" + "[1]," * 999 + "{}]", '{"a":[[[1],[2,{"b":[]}]]],"c":{"d":{"e":null}}}', "[" + " " * 999 + "]", "[1 ,\t2\n]",
        "[" + ",".join(["[" + "1," * 20 + "1]"] * 600) + "]", '{"' + "k" * 999 + '":1,"b":[]}', "[]", "{}", "{ }", "[ ]", "-Infinity",
    ],
)  # fmt: skip
def test_long_ones_and_odd_ones(text: str) -> None:
    assert found(text) == by_decoder(text) == len(text)


@pytest.mark.parametrize(
    "text",
    ["", "[", "{", "[1", "[1,", "[1,]", "[,1]", '{"a"', '{"a":', '{"a":1,', '{"a":1,}', "{1:2}", '["\\x"]', '["\\u12"]', "[01]", "[1 2]", "[+1]", "]", "tru", '["a]'],
)  # fmt: skip
def test_what_is_no_value(text: str) -> None:
    assert found(text) is by_decoder(text) is None


def test_it_is_bounded() -> None:
    deep = "[" * DEPTH_MAX + "]" * DEPTH_MAX
    assert value_end(deep, 0) == len(deep)
    with pytest.raises(TooDeep):
        value_end(f"[{deep}]", 0)
    with pytest.raises(TooManyValues):
        value_end("[" + "[[[]]]," * MEGABYTE + "0]", 0)


@pytest.mark.parametrize(
    "piece",
    ["0,", "[],", "[[1,2],[3]],", '"a",', r'"\n",', "1 ,", '{"a":1},', '"' + "x" * 5_000 + '",', "9" * 5_000 + ","],
)
def test_time_grows_with_the_length_alone(piece: str) -> None:
    """Twice eight times as long takes no more than eight times as long, given what a busy machine adds."""

    def seconds(size: int) -> float:
        text = "[" + piece * (size // len(piece)) + "0]"
        began = time.process_time()
        assert value_end(text, 0) == len(text)
        return time.process_time() - began

    small = min(seconds(MEGABYTE // 8) for _ in range(3))
    assert min(seconds(MEGABYTE) for _ in range(3)) < 3 * 8 * small + 0.05
