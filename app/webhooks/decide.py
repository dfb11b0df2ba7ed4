"""Pure decisions: when to retry, when to pause or disable an endpoint, what a body contains."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

import orjson

from app.core.clock import rfc3339
from app.webhooks.models import AttemptOutcome

STEPS: Final = (5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
"""Seconds from each failed attempt to the next one: ten attempts in a little more than three days."""
JITTER: Final = 0.2
RETRY_AFTER_FACTOR: Final = 2.0

BODY_BYTES_MAX: Final = 20_000

SLOTS_UNKNOWN: Final = 4
"""Concurrent deliveries to one target that is not known to be healthy."""
SLOTS_HEALTHY: Final = 32
"""Concurrent deliveries to one target whose last attempt succeeded."""
SLOTS_TENANT: Final = 64

SLOW_SECONDS: Final = 2.0
"""A failure that takes at least this long counts for the breaker, because it occupied a slot."""
BREAKER_FAILURES: Final = 10
BREAKER_SECONDS: Final = 30.0
BREAKER_SECONDS_MAX: Final = 300.0

SPELL: Final = timedelta(hours=24)
SPREAD: Final = timedelta(hours=12)
SPREAD_FAILURES: Final = 3
GIVE_UP: Final = timedelta(days=5)


def next_delay(step: int, *, chance: float, retry_after: float | None = None) -> float | None:
    """Seconds until the next attempt after `step` failed ones (1, 2 …). None: there is no next attempt.

    chance: random, from 0 to 1. retry_after: what the receiver asked for; it extends a step to at most twice its length.
    """
    if step > len(STEPS):
        return None
    base = STEPS[step - 1]
    delay = base * (1 - JITTER + 2 * JITTER * chance)
    if retry_after is not None:
        delay = max(delay, min(retry_after, base * RETRY_AFTER_FACTOR))
    return delay


def parse_retry_after(value: str | None, *, now: datetime) -> float | None:
    """Seconds from a `Retry-After` header, which contains seconds or an HTTP date. None if it contains neither."""
    if value is None:
        return None
    text = value.strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, IndexError, TypeError):
        return None
    if at.tzinfo is None:
        return None
    return max(0.0, (at - now).total_seconds())


def outcome_of(status_code: int) -> AttemptOutcome:
    """The outcome for a status code. Only 2xx is delivered; no redirect is followed, as its address did not ask for calls."""
    return AttemptOutcome.DELIVERED if 200 <= status_code < 300 else AttemptOutcome.REFUSED


@dataclass(frozen=True, slots=True)
class Health:
    """The health of a target. Instants are by the clock of the database.

    failures: since the last success. slow_failures: in a row. failed_since, spell_failures: start of a series of failures, and
    their number; a failure more than 24 hours after the start begins a new series. failing_since: start of a series that lasted
    12 hours with at least 3 failures; it no longer restarts, and GIVE_UP counts from it. open_until: no claims until then.
    """

    failures: int = 0
    slow_failures: int = 0
    spell_failures: int = 0
    open_until: datetime | None = None
    failed_since: datetime | None = None
    failing_since: datetime | None = None


WELL = Health()


def after_failure(health: Health, *, at: datetime, duration_seconds: float) -> Health:
    """Returns the health after one more failed attempt."""
    slow = health.slow_failures + 1 if duration_seconds >= SLOW_SECONDS else 0
    since = health.failed_since
    failing = health.failing_since
    if since is None or (failing is None and at - since > SPELL):
        # one failure a week is no reason to disable an endpoint
        since, spell = at, 1
    else:
        spell = health.spell_failures + 1
    if failing is None and at - since >= SPREAD and spell >= SPREAD_FAILURES:
        failing = since
    return replace(
        health,
        failures=health.failures + 1,
        slow_failures=slow,
        spell_failures=spell,
        open_until=at + timedelta(seconds=_rest_seconds(slow)) if slow >= BREAKER_FAILURES else None,
        failed_since=since,
        failing_since=failing,
    )


def _rest_seconds(slow_failures: int) -> float:
    doublings = min(slow_failures - BREAKER_FAILURES, 10)
    return float(min(BREAKER_SECONDS * 2**doublings, BREAKER_SECONDS_MAX))


def gives_up(health: Health, *, at: datetime) -> bool:
    """Whether the endpoint has failed for GIVE_UP and must be disabled. One success resets its health."""
    return health.failing_since is not None and at - health.failing_since >= GIVE_UP


def event_body(*, type_: str, at: datetime, sequence: int, data: Iterable[bytes]) -> bytes:
    """The JSON of an event's body, at most 20 kB. `data`: versions of its data, each JSON; the first that fits is used.

    Raises ValueError if none fits.
    """
    head = orjson.dumps({"type": type_, "timestamp": rfc3339(at)})[:-1]
    tail = b',"sequence":%d}' % sequence
    for version in data:
        body = b'%b,"data":%b%b' % (head, version, tail)
        if len(body) <= BODY_BYTES_MAX:
            return body
    raise ValueError("no version of the event's data is small enough")
