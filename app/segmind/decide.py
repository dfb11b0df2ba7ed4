"""How long a client's status poll is held, by the times of its polls. All times are in microseconds.

interval: from our answer to the client's next poll of the same job with the same API key. A client that sleeps two
    seconds between its polls has an interval of two seconds, however long each poll is held.
held: a poll that is answered when its job ends, and after the shortest of the client's last three intervals at the latest. If
    that is longer than HELD_MAX: after its half, third and so on. Then the client looks at its clock at some multiples of
    that fraction, and without holds at all multiples of its interval. So holds delay its own time-out by one interval at most.
"""

from dataclasses import dataclass

SECOND = 1_000_000
HELD_MAX = 4 * SECOND
"""Many HTTP clients give up after five seconds, httpx among them: the answer must arrive before."""
HELD_MIN = SECOND // 10
"""A shorter hold tells nobody anything sooner, and costs a second read."""
GONE = -1
"""Instead of an interval: the client had hung up when its held poll was answered. Its HTTP time-out may be shorter than its
interval, so its polls of this job are held no more."""


@dataclass(frozen=True, slots=True)
class PollTimes:
    """What is stored about the polls of one job with one key.

    `answered_at`: when the last one was answered, by the clock of Redis; 0 if one of them has no answer yet.
    `intervals`: up to two, those before the present poll.
    """

    answered_at: int
    intervals: tuple[int, ...] = ()


def interval_of(times: PollTimes | None, *, now: int, waited: int) -> int | None:
    """Return the interval that ends with a poll; None if it is the first.

    `now`: the clock of Redis, at most `waited` after the poll has arrived. So the result is never longer than the interval.
    It is 0 while another poll has no answer: then several clients poll, or one sends its request again. After GONE it is GONE.
    """
    if times is None:
        return None
    if GONE in times.intervals:
        return GONE
    return max(0, now - times.answered_at - waited) if times.answered_at else 0


def held_micros(times: PollTimes | None, interval: int | None) -> int:
    """Return how long a poll may be held, counted from its arrival. 0 for the first and the second poll."""
    if times is None or interval is None or not times.intervals:
        return 0
    shortest = min(interval, *times.intervals)
    parts = -(-shortest // HELD_MAX)  # both divisions round up
    return -(-shortest // parts) if shortest >= HELD_MIN else 0
