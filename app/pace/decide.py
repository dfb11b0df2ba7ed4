"""Estimates the upstream's rate limit: pure functions without a clock.

One even pace satisfies every kind of limit (token bucket, sliding minute, fixed minute): at `rate` requests a second
with a burst of a quarter second, no minute holds more than the limit. A 429 shows the limit: the requests that were
accepted since one minute before the reset instant that it names. This is exact for both kinds of minute, and an
upper bound for a bucket. Then the pace continues a little below the limit, rises to it, and asks for more and more
until the next 429. This is AIMD with an excess that doubles, so that a limit eight times as high is found within
three minutes.

episode: the first 429, and all others to requests sent before we knew of it. relapse: an episode soon after the last.
held: there was work, and only the rate estimate held it back. Other time teaches nothing.
reads: polls and fetches. Whether they count towards the limit is learned, too.
broken: hardly anything is answered. Submits stop, and reads trickle until they are answered; then the pace starts slowly.
Instants are seconds since 1970 by the database clock, rates are per second, limits per minute.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from app.pace.breaker import Availability, Health, judge
from app.pace.models import Second, Throttled

WINDOW_SECONDS = 60.0
RATE_START = 20.0
RATE_MAX = 10_000.0
"""In effect no limit."""
LIMIT_MIN = 5.0
"""The lowest limit that the upstream publishes. A 429 after almost no requests does not mean a lower one."""
BACK_TO = 0.96
"""The share of the limit at which the pace continues after an episode."""
RISE_TO = 0.985
"""The share of the limit to which the pace rises, and the most that a minute holds until we ask for more."""
HOLD_SECONDS = (60.0, 80.0)
HOLD_REQUESTS = 100.0
"""How long after an episode we do not ask for more: the time of HOLD_REQUESTS requests, between the two HOLD_SECONDS."""
PROBE_SHARE = 0.02
PROBE_DOUBLES_SECONDS = 7.0
RELAPSE_SECONDS = 15.0
RELAPSE_CUTS = (0.95, 0.8, 0.65, 0.5)
RESET_SECONDS_MAX = 120.0
NEAR_SECONDS = 3.0
"""A reset that is farther away belongs to a minute, not to a bucket."""
LATELY_REQUESTS = 80.0
LATELY_SHARE_MAX = 1.5
"""The last requests show the rate of a small bucket, but of a large one only how full it was. So we believe at most
this multiple of the last minute's rate."""
STEADY_SHARE = 1.2
"""While we ask for at most this share of the limit, a bucket has no time to fill up."""
STEADY_REQUESTS = 15
STEADY_SECONDS_MAX = 190.0
STEADY_ASKED = 0.7
"""The least share of what the rate allows. If a full minute held us back, what a bucket accepts is not known."""
BEAT_SECONDS = 0.4
"""The time to wait after the reset instant, so that requests that overtake each other still fit."""
PAUSE_SECONDS = (1.0, 30.0)
"""The pause if the 429 names no reset instant: it doubles from the first to the second with each relapse."""
STILL_SECONDS = 0.5
"""Requests sent this soon after a pause may be under way, and may yet be refused."""
STILL_REQUESTS = 3.0
"""If a bucket would have accepted so many, and none was accepted, the limit is a minute's."""
TICK_SECONDS_MAX = 1.5
FREE_NATS = 4.6
"""Reads are considered free when it is a hundred times less likely that only chance spared them."""
SETTLED_NATS = 2 * FREE_NATS
"""The weight of a refused read against later evidence. Which requests of a burst are refused is not purely random."""
TRIAL_READS = 2
TRIAL_SECONDS = 0.5
"""A trial is TRIAL_READS, and what a bucket may refill in TRIAL_SECONDS. If none is refused, reads are free."""
TRIAL_REST_SECONDS = 3600.0
"""The time until the next trial after a refused read has shown that reads count."""

EASE_RATE = 20.0


@dataclass(frozen=True, slots=True)
class RateEstimate:
    """The rate estimate.

    limit: None until the first 429. ramp_seconds: held time since the last episode.
    minute_seen: a reset was too far away for a bucket, or a pause was too long for one.
    ease_rate: the most requests of all kinds that may be sent in a second after trouble.
    doubt: how unlikely it is, in nats, that reads count although none was refused since the last refused read.
    trial_reads: reads that may be sent despite the pause, to find out whether reads count. trial_at: no trial before.
    """

    rate: float = RATE_START
    limit: float | None = None
    cut_at: float = 0.0
    resume_at: float = 0.0
    ramp_seconds: float = 0.0
    relapses: int = 0
    doubt: float = 0.0
    trial_reads: int = 0
    trial_at: float = 0.0
    minute_seen: bool = False
    learned_at: float = 0.0
    broken_at: float | None = None
    judged_at: float = 0.0
    ease_rate: float = RATE_MAX

    @property
    def reads_free(self) -> bool:
        """Whether polls and fetches do not count towards the limit."""
        return self.doubt >= FREE_NATS


def update_estimate(
    budget: RateEstimate,
    *,
    now: float,
    held: bool,
    refused: Sequence[Throttled],
    passed: int,
    seconds: Sequence[Second],
    health: Sequence[Health] = (),
) -> RateEstimate:
    """Return the rate estimate with what is newly known. `passed`: reads on trial that were not refused. `seconds`:
    at least those of the last two minutes. `health`: as `judge` takes it."""
    for answer in refused:
        budget = _refused(budget, answer, now=now, seconds=seconds)
    if passed and not budget.reads_free:
        budget = replace(budget, doubt=max(budget.doubt, 0.0) + passed * FREE_NATS / trial_reads(budget) + 1e-9)
        if budget.reads_free:
            # If reads are free, measure the limit again without them.
            begin = max(budget.resume_at - BEAT_SECONDS, budget.cut_at) - WINDOW_SECONDS
            end = math.floor(budget.cut_at) + 1.0
            budget = _cut(budget, _accepted(budget, begin=begin, end=end, seconds=seconds))
    budget = _judged(budget, now=now, health=health)
    if not refused and held and now >= budget.resume_at and budget.broken_at is None:
        budget = _grown(budget, min(max(now - max(budget.learned_at, budget.resume_at), 0.0), TICK_SECONDS_MAX))
    return replace(budget, learned_at=now)


def _judged(budget: RateEstimate, *, now: float, health: Sequence[Health]) -> RateEstimate:
    verdict = judge(health, broken=budget.broken_at is not None)
    if budget.broken_at is not None and verdict is Availability.THERE:
        return replace(budget, broken_at=None, judged_at=now, ease_rate=EASE_RATE)
    if budget.broken_at is None and verdict is Availability.AWAY:
        return replace(budget, broken_at=now, judged_at=now)
    return budget


def _grown(budget: RateEstimate, by_seconds: float) -> RateEstimate:
    budget = replace(budget, ease_rate=min(budget.ease_rate * 2**by_seconds, RATE_MAX))
    ramp_seconds = budget.ramp_seconds + by_seconds
    if budget.limit is None:
        return replace(budget, rate=min(budget.rate * 2**by_seconds, RATE_MAX), ramp_seconds=ramp_seconds)
    hold = hold_seconds(budget.limit)
    if ramp_seconds < hold:
        share = BACK_TO + (RISE_TO - BACK_TO) * ramp_seconds / hold
    else:
        share = RISE_TO + PROBE_SHARE * (2 ** ((ramp_seconds - hold) / PROBE_DOUBLES_SECONDS) - 1)
    rate = min(budget.limit * share / WINDOW_SECONDS, RATE_MAX)
    return replace(budget, rate=rate, ramp_seconds=ramp_seconds)


def hold_seconds(limit: float) -> float:
    """How long after an episode we ask for no more than this limit, in seconds."""
    low, high = HOLD_SECONDS
    return min(max(low, HOLD_REQUESTS * WINDOW_SECONDS / limit), high)


def _refused(budget: RateEstimate, one: Throttled, *, now: float, seconds: Sequence[Second]) -> RateEstimate:
    was_free = budget.reads_free
    budget = replace(budget, doubt=_doubt(budget, one, seconds))
    if one.is_read:
        budget = replace(budget, trial_reads=0, trial_at=now + TRIAL_REST_SECONDS)
    if one.reset_at is not None and one.reset_at > one.sent_at + NEAR_SECONDS:
        budget = replace(budget, minute_seen=True)
    # The request was sent before we knew of the last 429, or before its pause was over.
    same = one.sent_at <= max(budget.cut_at, budget.resume_at - BEAT_SECONDS)
    limit = _measured(budget, one, until=max(one.sent_at, budget.cut_at) if same else one.sent_at, seconds=seconds)
    if same:
        budget = replace(budget, resume_at=max(budget.resume_at, _resume_at(budget, one, now)))
        if budget.reads_free != was_free:
            return _cut(budget, limit)  # the old limit counted other requests
        return _cut(budget, min(limit, budget.limit or limit))
    relapse = one.sent_at < budget.resume_at + RELAPSE_SECONDS and budget.limit is not None
    if budget.reads_free == was_free:
        if relapse and one.reset_at is None and _still_full(budget, one, seconds=seconds):
            return _waited_longer(budget, one, now=now, seconds=seconds)
        refilled = _refilled(budget, one, seconds=seconds)
        if refilled is None and relapse:
            cut = RELAPSE_CUTS[min(budget.relapses, len(RELAPSE_CUTS) - 1)]
            refilled = budget.rate * WINDOW_SECONDS * cut / BACK_TO
        limit = min(limit, refilled or limit)
    budget = replace(budget, cut_at=now, relapses=budget.relapses + 1 if relapse else 0, ramp_seconds=0.0)
    budget = _cut(replace(budget, resume_at=_resume_at(budget, one, now)), limit)
    return replace(budget, trial_reads=trial_reads(budget) if now >= budget.trial_at else 0)


def _still_full(budget: RateEstimate, one: Throttled, *, seconds: Sequence[Second]) -> bool:
    """Whether nothing was accepted since the pause: a full minute behaves so, a bucket does not."""
    let_in = _accepted(budget, begin=budget.resume_at, end=one.sent_at, seconds=seconds)
    return let_in <= 1 + STILL_SECONDS * budget.rate


def _waited_longer(budget: RateEstimate, one: Throttled, *, now: float, seconds: Sequence[Second]) -> RateEstimate:
    """The pause was too short, which teaches nothing else. But if the limit is a minute's, it is what was accepted in it."""
    lately = _accepted(budget, begin=one.sent_at - WINDOW_SECONDS, end=one.sent_at, seconds=seconds)
    if budget.relapses == 0 and budget.limit is not None:
        budget = _cut(budget, min(budget.limit, lately))
    if lately / WINDOW_SECONDS * (one.sent_at - budget.cut_at) >= STILL_REQUESTS:
        budget = replace(budget, minute_seen=True)
    return replace(budget, cut_at=now, relapses=budget.relapses + 1, resume_at=_resume_at(budget, one, now))


def trial_reads(budget: RateEstimate) -> int:
    """How many reads make a trial: so many that some would be refused if reads counted."""
    return TRIAL_READS + math.ceil((budget.limit or 0.0) / WINDOW_SECONDS * TRIAL_SECONDS)


def _cut(budget: RateEstimate, limit: float) -> RateEstimate:
    limit = max(limit, LIMIT_MIN)
    return replace(budget, limit=limit, rate=limit * BACK_TO / WINDOW_SECONDS)


def _resume_at(budget: RateEstimate, one: Throttled, now: float) -> float:
    if one.reset_at is None:
        low, high = PAUSE_SECONDS
        return now + float(min(low * 2 ** min(budget.relapses, 10), high))
    return min(max(one.reset_at, now), now + RESET_SECONDS_MAX) + BEAT_SECONDS


def _measured(budget: RateEstimate, one: Throttled, *, until: float, seconds: Sequence[Second]) -> float:
    """The limit that this 429 shows: the requests granted until then and not refused as far as known."""
    end = one.sent_at if one.reset_at is None else min(max(one.reset_at, one.sent_at), one.sent_at + WINDOW_SECONDS)
    begin = end - WINDOW_SECONDS
    accepted = _accepted(budget, begin=begin, end=math.floor(until) + 1.0, seconds=seconds)
    if one.reset_at is not None and one.reset_at > one.sent_at + NEAR_SECONDS:
        return accepted
    if budget.minute_seen:
        return accepted
    # Either the minute has only begun, or it is a bucket. For a bucket, the requests accepted most recently are nearer the limit.
    whole = max(accepted, _pace(budget, one, requests=math.inf, seconds=seconds))
    lately = _pace(budget, one, requests=LATELY_REQUESTS, seconds=seconds)
    return max(whole, min(lately, LATELY_SHARE_MAX * whole))


def _pace(budget: RateEstimate, one: Throttled, *, requests: float, seconds: Sequence[Second]) -> float:
    """The requests a minute that were accepted before this 429: of the last `requests`, or of those in the last minute."""
    lately, since = 0.0, one.sent_at
    for second in sorted(seconds, key=lambda second: second.at, reverse=True):
        if one.sent_at - WINDOW_SECONDS < second.at < one.sent_at and second.submits + second.reads:
            lately += _accepted(budget, begin=second.at, end=one.sent_at, seconds=[second])
            since = float(second.at)
            if lately >= requests:
                break
    return lately * WINDOW_SECONDS / max(one.sent_at - since, 1.0)


def _refilled(budget: RateEstimate, one: Throttled, *, seconds: Sequence[Second]) -> float | None:
    """The requests a minute that a bucket accepted since it was last empty; None if it may have been full since."""
    settled = budget.reads_free or budget.trial_at > 0  # whether it is known if reads count
    if budget.limit is None or budget.minute_seen or not settled:
        return None
    if budget.rate * WINDOW_SECONDS > STEADY_SHARE * budget.limit:
        return None
    took = one.sent_at - budget.cut_at
    accepted, asked = _granted(budget, begin=budget.cut_at, end=one.sent_at, seconds=seconds)
    if took > STEADY_SECONDS_MAX or accepted < STEADY_REQUESTS or asked < STEADY_ASKED * budget.rate * took:
        return None
    return accepted * WINDOW_SECONDS / took


def _accepted(budget: RateEstimate, *, begin: float, end: float, seconds: Sequence[Second]) -> float:
    return _granted(budget, begin=begin, end=end, seconds=seconds)[0]


def _granted(budget: RateEstimate, *, begin: float, end: float, seconds: Sequence[Second]) -> tuple[float, float]:
    """Requests of the kinds that count between the two instants, evenly within a second: (not refused so far, all)."""
    accepted = granted = 0.0
    for second in seconds:
        share = min(second.at + 1, end) - max(second.at, begin)
        if share <= 0:
            continue
        number, refused = second.submits, second.refused_submits
        if not budget.reads_free:
            number, refused = number + second.reads, refused + second.refused_reads
        accepted += (number - refused) * min(share, 1.0)
        granted += number * min(share, 1.0)
    return accepted, granted


def _doubt(budget: RateEstimate, one: Throttled, seconds: Sequence[Second]) -> float:
    """The new `doubt`. Every refused request is one of those that count, and the share of reads among all is known."""
    if one.is_read:
        return -SETTLED_NATS
    recent = [second for second in seconds if one.sent_at - 2 <= second.at <= one.sent_at]
    reads = sum(second.reads for second in recent)
    submits = sum(second.submits for second in recent)
    if reads + submits == 0:
        return budget.doubt
    return min(budget.doubt - math.log(max(submits, 1) / (reads + submits)), 100.0)
