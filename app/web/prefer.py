"""`Prefer: wait` (RFC 7240): how long a client would like to wait. What is not understood in the header is ignored."""

import re
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import Headers

from app.web.requests import plain_seconds

BARE_SECONDS: Final = 25.0
"""Of `Prefer: wait` without a number. Many proxies give up after 30 seconds."""

_PREFERENCE: Final = re.compile(r'(?:[^",]|"(?:[^"\\]|\\.)*"?)+')
"""Preferences are separated by commas; one inside a quoted string separates nothing."""
_DIGITS: Final = re.compile("[0-9]+")


@dataclass(frozen=True, slots=True)
class Wait:
    """How long to wait, in seconds. `preferred`: the client said so, else it is the route's default."""

    seconds: float
    preferred: bool = False

    @property
    def headers(self) -> dict[str, str]:
        """Of the answer: which preference was applied."""
        return {"Preference-Applied": f"wait={self.seconds:g}"} if self.preferred else {}


def preferred_wait(headers: Headers, *, default: float, most: float) -> Wait:
    """The N of `Prefer: wait=N` in seconds, at most `most`; BARE_SECONDS without an N; `default` without a `wait` that is
    understood. Of several the first counts. There are fractions of a second, which the RFC does not have."""
    text = ",".join(headers.getlist("prefer"))
    for preference in _PREFERENCE.findall(text) if text else ():
        name, _, value = preference.partition(";")[0].partition("=")
        if name.strip().lower() == "wait":
            seconds = _seconds(value.strip().strip('"'), most)
            return Wait(default) if seconds is None else Wait(min(seconds, most), preferred=True)
    return Wait(default)


def _seconds(text: str, most: float) -> float | None:
    """None where it is no number of seconds."""
    if not text:
        return BARE_SECONDS
    return most if len(text) > 9 and _DIGITS.fullmatch(text) else plain_seconds(text)
