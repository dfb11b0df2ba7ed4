"""The arithmetic of a rate limit, in whole numbers: what the script in Redis computes, and each process by itself.

bucket: a meter that rises by TOKEN with each submit and drains by its rate; it holds `burst` tokens. room: what it
holds at most. A token is so many units that a rate of r submits a minute drains r units a microsecond, so nothing is
ever rounded: what is admitted in any stretch of t minutes is at most burst + r * t.

share: one of so many processes that have lost Redis, and do not know of each other's submits. It keeps the whole
meter, and lets each submit count for all of them: limit/N and burst/N, whatever N is at the moment.
"""

from dataclasses import dataclass

from app.tenants.decide import Rate

TOKEN = 60_000_000
SECOND = 1_000_000
"""In microseconds, in which all times here are."""


@dataclass(frozen=True, slots=True)
class Level:
    """How full a bucket was, in units, and when, in microseconds of whichever clock."""

    used: int
    at: int


@dataclass(frozen=True, slots=True)
class Standing:
    """How full a bucket is at this moment, in units, and what a submit takes of it."""

    policy: str
    rate: Rate
    used: int
    room: int
    token: int = TOKEN

    @property
    def remaining(self) -> int:
        """Submits that it would take now."""
        return max(0, self.room - self.used) // self.token

    def micros_until(self, count: int) -> int:
        """How long until it takes so many submits at once, 0 if it does; more than it ever takes: until it is empty."""
        return -(-max(0, self.used + min(count * self.token, self.room) - self.room) // self.rate.per_minute)

    @property
    def reset_seconds(self) -> int:
        """Whole seconds until there is more: until the next submit where there is none left, else until all is free."""
        return seconds_up(self.micros_until(1) or -(-self.used // self.rate.per_minute))


def seconds_up(micros: int) -> int:
    """Whole seconds, rounded up."""
    return -(-micros // SECOND)


def drained(level: Level, rate: Rate, now: int, *, room: int) -> int:
    """What is left of a level; a clock that was set back drains nothing, a room that was narrowed is full at most."""
    return max(0, min(room, level.used) - max(0, now - level.at) * rate.per_minute)


def room_of(rate: Rate, *, shares: int = 1) -> int:
    """What a bucket holds; a share of less than one submit is one, or it would never take any."""
    return max(rate.burst, shares) * TOKEN


def most_of(rate: Rate, *, shares: int = 1, afterwards: bool = False) -> int:
    """The highest level of a bucket: its room, and as much again where it is charged afterwards and may be overdrawn."""
    return room_of(rate, shares=shares) * (2 if afterwards else 1)


def fits(standing: Standing, count: int) -> bool:
    """Whether so many submits may be taken; giving back (below zero) always may."""
    return count < 0 or standing.used + count * standing.token <= standing.room


def poured(standing: Standing, count: int) -> int:
    """How full the bucket is afterwards."""
    return max(0, standing.used + count * standing.token)
