"""The arithmetic of a rate limit, in integers. The script in Redis computes the same.

bucket: a counter that rises by TOKEN with each submit and drains at its rate. It holds `burst` tokens.
room: the most that a bucket holds, in units. A rate of r submits a minute drains r units a microsecond, so nothing
    is ever rounded. Any t minutes admit at most burst + r * t submits.
share: the part of one of N processes that have lost Redis and do not know each other's submits. Each keeps the whole
    bucket and charges every submit N times: limit/N and burst/N, with the current N.
"""

from dataclasses import dataclass

from app.tenants.decide import Rate

TOKEN = 60_000_000
SECOND = 1_000_000
"""In microseconds, the unit of all times here."""


@dataclass(frozen=True, slots=True)
class Level:
    """How full a bucket was (`used`, in units) and when (`at`, in microseconds of the caller's clock)."""

    used: int
    at: int


@dataclass(frozen=True, slots=True)
class Standing:
    """How full a bucket is now, in units, and what one submit adds (`token`)."""

    policy: str
    rate: Rate
    used: int
    room: int
    token: int = TOKEN

    @property
    def remaining(self) -> int:
        """The submits that the bucket would accept now."""
        return max(0, self.room - self.used) // self.token

    def micros_until(self, count: int) -> int:
        """The microseconds until the bucket accepts `count` submits at once (0: now), or is empty if it never holds so many."""
        return -(-max(0, self.used + min(count * self.token, self.room) - self.room) // self.rate.per_minute)

    @property
    def reset_seconds(self) -> int:
        """Whole seconds until the next submit fits; if one fits now, until the bucket is empty."""
        return seconds_up(self.micros_until(1) or -(-self.used // self.rate.per_minute))


def seconds_up(micros: int) -> int:
    """Microseconds as whole seconds, rounded up."""
    return -(-micros // SECOND)


def drained(level: Level, rate: Rate, now: int, *, room: int) -> int:
    """The level at `now`, in units, at most `room`. A clock that was set back drains nothing."""
    return max(0, min(room, level.used) - max(0, now - level.at) * rate.per_minute)


def room_of(rate: Rate, *, shares: int = 1) -> int:
    """What a bucket holds, in units: at least one submit, because a smaller share would never accept any."""
    return max(rate.burst, shares) * TOKEN


def most_of(rate: Rate, *, shares: int = 1, afterwards: bool = False) -> int:
    """The highest level of a bucket, in units: its room, or twice its room if it is charged afterwards."""
    return room_of(rate, shares=shares) * (2 if afterwards else 1)


def fits(standing: Standing, count: int) -> bool:
    """Whether the bucket accepts `count` submits. A negative count gives submits back, and always fits."""
    return count < 0 or standing.used + count * standing.token <= standing.room


def poured(standing: Standing, count: int) -> int:
    """The level after `count` submits, in units."""
    return max(0, standing.used + count * standing.token)
