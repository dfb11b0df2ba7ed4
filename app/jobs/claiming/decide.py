"""Pure decisions of the engine: what is recorded about a job after the outcome of an exchange."""

import random
import re
from dataclasses import dataclass, replace

from app.jobs.estimates.schedule import Schedule
from app.jobs.models import ErrorCode, State
from app.pace.models import PauseReason
from app.upstream.wire import Outcome, OutcomeKind, UpstreamState

GONE_SECONDS_FRESH = 120.0
"""How long 404 is tolerated for a job that was just accepted: the upstream's stores may not agree immediately."""
GONE_SECONDS = 60.0
"""The same for a job whose state a poll has already read."""
RECORD_SECONDS = 3600.0
"""The upstream deletes a request this long after its submission."""
GIVE_UP_SECONDS = 86_400.0
"""A job that has no final outcome after this time fails."""
RESULT_TRIES = 6
"""After this many unreadable answers in a row, the result of a completed run is unreadable. They are 2, 4, 8, 16 and 32 s apart:
by then a restarting proxy no longer answers with its own page."""
RESULT_SECONDS = (2.0, 40.0)
POLL_TRIES = 10
"""The same for a run that may continue, but only after RECORD_SECONDS: before, a proxy in between may have answered."""
ACCOUNT_SECONDS = (30.0, 300.0)
THROTTLED_SECONDS = 0.25
"""After this time a poll that got 429 is due again. The pace decides when it is sent."""
MESSAGE_MAX = 8_000

_BLOCKED = re.compile(r"content[ _]polic|content[ _]filter|moderation|safety|nsfw|sensitive content|\brai\b", re.I)


@dataclass(frozen=True, slots=True)
class UpstreamPause:
    """A pause of all submits: all tenants share the upstream account."""

    reason: PauseReason
    seconds: float
    detail: str


@dataclass(frozen=True, slots=True)
class Step:
    """The next state of a job, the reason, and when the engine looks at it next (seconds from now; None if final)."""

    to_state: State
    reason: str
    due_seconds: float | None
    error_code: ErrorCode | None = None
    message: str | None = None
    body: bytes | None = None
    upstream_state: UpstreamState | None = None
    gone: bool = False
    unreadable: bool = False
    retry: bool = False
    pause: UpstreamPause | None = None


@dataclass(frozen=True, slots=True)
class Running:
    """The fields of a job that the decision after a poll needs. Ages are in seconds by the database's clock.

    unreadable: how many answers in a row, before this one, could not be read."""

    age_seconds: float
    gone_seconds: float | None
    retries: int
    upstream_state: UpstreamState | None
    unreadable: int = 0


def backoff(retries: int, low: float, high: float) -> float:
    """Return the seconds to wait after this many tries in a row: doubling from low to high, ±20 % to spread retries."""
    return float(min(high, low * 2 ** min(retries, 30))) * random.uniform(0.8, 1.2)


def believed(outcome: Outcome) -> Outcome:
    """Return the outcome, as ACCEPTED if a 2xx answer was cut off after the id: the missing rest would add nothing."""
    if outcome.kind is OutcomeKind.UNKNOWN and outcome.upstream_id is not None:
        return replace(outcome, kind=OutcomeKind.ACCEPTED)
    return outcome


def after_submit(
    outcome: Outcome, *, retries: int, schedule: Schedule, unknown_max_seconds: float, doubted: bool = False
) -> Step:
    """Return the step after a submit. Only one that certainly started no job goes back to the queue. `doubted`: what the answer
    says about the account is not believed."""
    match outcome.kind:
        case OutcomeKind.ACCEPTED:
            return Step(State.RUNNING, "accepted", schedule.next_gap(0.0), upstream_state=UpstreamState.QUEUED)
        case OutcomeKind.REJECTED:
            message = outcome.error or f"the upstream refused the request with HTTP {outcome.status_code}"
            return _failed(ErrorCode.UPSTREAM_REJECTED, "rejected", message, outcome.body)
        case OutcomeKind.NOT_SENT:
            return Step(State.QUEUED, "not_sent", backoff(retries, 0.2, 30.0), retry=True)
        case OutcomeKind.THROTTLED:
            return Step(State.QUEUED, "throttled", 0.0)  # it keeps its rank; the pace decides when to send it
        case OutcomeKind.ACCOUNT if doubted:
            return Step(State.QUEUED, "account_doubted", backoff(retries, *ACCOUNT_SECONDS), retry=True)
        case OutcomeKind.ACCOUNT:
            pause_seconds = backoff(retries, *ACCOUNT_SECONDS)
            pause = UpstreamPause(PauseReason.ACCOUNT, pause_seconds, outcome.error or outcome.detail)
            # a little longer than the pause: another job goes first, in case this one caused the problem
            return Step(State.QUEUED, "account", 1.2 * pause_seconds, retry=True, pause=pause)
        case _:
            return Step(State.UNKNOWN, "maybe_sent", unknown_max_seconds)


def after_poll(outcome: Outcome, job: Running, *, schedule: Schedule) -> Step:
    """Return the step after a poll or fetch. Only a final outcome ends a job. Trouble at the upstream ends it only after
    GIVE_UP_SECONDS.

    A 404 without JSON is trouble while the upstream keeps the request: it may be the page of a proxy.
    """
    match outcome.kind:
        case OutcomeKind.SUCCEEDED if outcome.body is not None:
            return Step(State.COMPLETED, "completed", None, body=outcome.body, upstream_state=UpstreamState.COMPLETED)
        case OutcomeKind.FAILED:
            message = outcome.error or "the upstream reported FAILED without an error message"
            code = ErrorCode.CONTENT_BLOCKED if _BLOCKED.search(message) else ErrorCode.UPSTREAM_FAILED
            return _failed(code, "failed", message, outcome.body)
        case OutcomeKind.RUNNING if job.upstream_state is not UpstreamState.COMPLETED:
            seen = outcome.state if outcome.state is UpstreamState.PROCESSING else job.upstream_state
            reason = "processing" if seen is not job.upstream_state else "still_running"
            return Step(State.RUNNING, reason, schedule.next_gap(job.age_seconds), upstream_state=seen)
        case OutcomeKind.GONE if outcome.in_json or job.age_seconds > RECORD_SECONDS:
            return _after_gone(job)
        case OutcomeKind.UNREADABLE:
            return _after_unreadable(outcome, job)
        case OutcomeKind.THROTTLED if job.age_seconds <= GIVE_UP_SECONDS:
            return Step(State.RUNNING, "throttled", THROTTLED_SECONDS, upstream_state=job.upstream_state)
        case _:
            return _after_trouble(outcome, job)


def _after_gone(job: Running) -> Step:
    tolerated = GONE_SECONDS if job.upstream_state is not UpstreamState.QUEUED else GONE_SECONDS_FRESH
    if job.age_seconds > RECORD_SECONDS:
        tolerated = 10.0
    if (job.gone_seconds or 0.0) >= tolerated:
        return _failed(
            ErrorCode.RESULT_LOST, "result_lost", "the upstream no longer knows the request; its result is lost", None
        )
    return Step(
        State.RUNNING, "gone", backoff(job.retries, 0.5, 5.0), upstream_state=job.upstream_state, gone=True, retry=True
    )


def _after_unreadable(outcome: Outcome, job: Running) -> Step:
    tries = job.unreadable + 1
    finished = job.upstream_state is UpstreamState.COMPLETED
    over = tries >= RESULT_TRIES if finished else tries >= POLL_TRIES and job.age_seconds > RECORD_SECONDS
    if over and finished and outcome.detail == "body_too_large":
        message = "the run completed, but its result is larger than this gateway stores"
        return _failed(ErrorCode.RESULT_TOO_LARGE, ErrorCode.RESULT_TOO_LARGE, message, None)
    if over:
        what = "the run completed, but its result" if finished else "the upstream's answer about the run"
        message = f"{what} cannot be read: {outcome.detail}; expected a JSON object without Content-Encoding"
        return _failed(ErrorCode.RESULT_UNREADABLE, ErrorCode.RESULT_UNREADABLE, message, None)
    seconds = backoff(job.unreadable, *(RESULT_SECONDS if finished else (1.0, 30.0)))
    return Step(
        State.RUNNING,
        "unreadable",
        max(seconds, outcome.retry_after_seconds or 0.0),
        upstream_state=job.upstream_state,
        unreadable=True,
        retry=True,
    )


def _after_trouble(outcome: Outcome, job: Running) -> Step:
    if job.age_seconds > GIVE_UP_SECONDS:
        message = "the upstream gave no usable answer for a day"
        return _failed(ErrorCode.UPSTREAM_UNAVAILABLE, "upstream_unavailable", message, None)
    finished = outcome.state is UpstreamState.COMPLETED or job.upstream_state is UpstreamState.COMPLETED
    # the upstream deletes the result within the hour: ask sooner than for a job that still runs
    seconds = backoff(job.retries, 0.5, 10.0) if finished else backoff(job.retries, 1.0, 30.0)
    return Step(
        State.RUNNING,
        "trouble",
        max(seconds, outcome.retry_after_seconds or 0.0),
        upstream_state=UpstreamState.COMPLETED if finished else job.upstream_state,
        retry=True,
    )


def _failed(code: ErrorCode, reason: str, message: str, body: bytes | None) -> Step:
    return Step(State.FAILED, reason, None, error_code=code, message=message[:MESSAGE_MAX], body=body)


def run_time(outcome: Outcome, *, age_seconds: float, gap_seconds: float) -> tuple[float, float]:
    """Return (seconds of the run, seconds from its end until we knew): as the upstream reports, else by the middle of the last
    gap between polls.

    Never by the age at the last poll, or our own delay would feed back into the schedule.
    """
    told = outcome.metrics.total_seconds if outcome.metrics else None
    if told is not None and 0 < told <= age_seconds:
        return told, age_seconds - told
    half = min(gap_seconds, age_seconds) / 2  # after the end of the schedule, a gap may be longer than the job's age
    return max(age_seconds - half, 0.001), half
