"""`Prefer: wait`: what is understood is applied and said, everything else is ignored."""

import pytest
from starlette.datastructures import Headers

from app.web.prefer import BARE_SECONDS, Wait, preferred_wait

MOST = 300.0
DEFAULT = 7.0


def asked(*lines: str) -> Wait:
    headers = Headers(raw=[(b"prefer", line.encode("latin-1")) for line in lines])
    return preferred_wait(headers, default=DEFAULT, wait_seconds_max=MOST)


@pytest.mark.parametrize(
    ("line", "seconds"),
    [
        ("wait=5", 5), ("WAIT=5", 5), (" wait = 5 ", 5), ('wait="5"', 5), ("wait=0", 0), ("wait=0.5", 0.5), ("wait=300", MOST),
        ("wait=301", MOST), ("wait=" + "9" * 5_000, MOST), ("wait=5; strict", 5), ('wait=5;a="b,c"', 5),
        ("respond-async, wait=5", 5), ("respond-async,wait=5,", 5), ("wait=5, respond-async", 5), ("wait=5, wait=6", 5),
        ('a="x, wait=1", wait=5', 5), ('a="\\", wait=1", wait=5', 5), (",, wait=5", 5),
        ("wait", BARE_SECONDS), ("wait=", BARE_SECONDS), ('wait=""', BARE_SECONDS), ("wait;x=1", BARE_SECONDS),
        ("respond-async, wait", BARE_SECONDS),
    ],
)  # fmt: skip
def test_a_wait_that_is_understood_is_applied(line: str, seconds: float) -> None:
    assert asked(line) == Wait(seconds, preferred=True)
    assert asked(line).headers == {"Preference-Applied": f"wait={seconds:g}"}


@pytest.mark.parametrize(
    "line",
    [
        "", " ", ",", "wait=abc", "wait=-1", "wait=+1", "wait=1e9", "wait=NaN", "wait=inf", "wait=1_0", "wait=0x5", "wait=5s",
        "wait=\xb2", "wait=5 5", "wait=abc, wait=5", "waits=5", "x-wait=5", "return=minimal", "respond-async", 'a="wait=5"',
        'a="unterminated, wait=5', "a\\, waiting",
    ],
)  # fmt: skip
def test_what_is_not_understood_is_ignored(line: str) -> None:
    assert asked(line) == Wait(DEFAULT)
    assert asked(line).headers == {}


def test_several_lines_are_one_list() -> None:
    assert asked("respond-async", "wait=5", "wait=6") == Wait(5, preferred=True)
    assert asked() == Wait(DEFAULT)
