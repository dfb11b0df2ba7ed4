"""Parse `Prefer: wait` (RFC 7240), the time that a client wants to wait. Other content of the header is ignored."""

import re
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import Headers

from app.web.requests import plain_seconds

BARE_SECONDS: Final = 25.0
"""The time for `Prefer: wait` without a number. Many proxies have a timeout of 30 seconds."""

_PREFERENCE: Final = re.compile(r'(?:[^",]|"(?:[^"\\]|\\.)*"?)+')
"""A preference: commas separate them, except inside a quoted string."""
_DIGITS: Final = re.compile("[0-9]+")


@dataclass(frozen=True, slots=True)
class Wait:
    """How long to wait, in seconds. `preferred`: the client asked for it; else it is the route's default."""

    seconds: float
    preferred: bool = False

    @property
    def headers(self) -> dict[str, str]:
        """The answer's headers, which name the applied preference."""
        return {"Preference-Applied": f"wait={self.seconds:g}"} if self.preferred else {}


def preferred_wait(headers: Headers, *, default: float, wait_seconds_max: float) -> Wait:
    """Return the N of `Prefer: wait=N` in seconds, or BARE_SECONDS without an N, at most `wait_seconds_max`; `default` without a valid
    `wait`. The first `wait` counts. Unlike the RFC, it accepts fractions."""
    text = ",".join(headers.getlist("prefer"))
    for preference in _PREFERENCE.findall(text) if text else ():
        name, _, value = preference.partition(";")[0].partition("=")
        if name.strip().lower() == "wait":
            seconds = _seconds(value.strip().strip('"'), wait_seconds_max)
            return Wait(default) if seconds is None else Wait(min(seconds, wait_seconds_max), preferred=True)
    return Wait(default)


def _seconds(text: str, wait_seconds_max: float) -> float | None:
    """Parse the value of `wait`. Returns None if it is not a number of seconds."""
    if not text:
        return BARE_SECONDS
    return wait_seconds_max if len(text) > 9 and _DIGITS.fullmatch(text) else plain_seconds(text)
