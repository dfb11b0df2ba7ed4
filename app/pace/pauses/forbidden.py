"""When 403s mean that the upstream does not let us use a model, and when to ask again: pure choices, with no clock.

A 403 to a submit is the failure of its own job, whatever else it means. What is kept here are those that may be about
the model; who reads the answers says which.

An accepted submit of the model shows that everything before it was about single jobs: it deletes what was kept of its
own tenant, and what was kept of other tenants counts from then on for these tenants alone.

probe: the one job that is sent in spite of such a pause. Its acceptance ends the pause.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

WINDOW_SECONDS = 600.0
"""403s further apart are not taken together."""
KEPT_SECONDS = 3600.0
"""After this long a 403 is forgotten; until then tenants without one are asked first when a probe is chosen."""
PROBE_SECONDS = (5.0, 300.0)
"""From a pause, and from each probe that was refused, to the next probe: doubling from the first to the second."""
QUEUED_SECONDS = 60.0
"""A probe that has not been sent for so long makes room for another one."""
SOON_SECONDS = 5.0
"""When the next probe goes after one whose end told nothing: canceled, unknown, refused for another reason."""


class Scope(StrEnum):
    """Whose use of a model is paused."""

    EVERYBODY = "everybody"
    TENANT = "tenant"


class ProbeStep(StrEnum):
    """What to do about the probe of a pause. WAIT: nothing yet. CHOOSE: send another job. LIFT: the pause is over."""

    WAIT = "wait"
    CHOOSE = "choose"
    LIFT = "lift"


@dataclass(frozen=True, slots=True)
class Forbidden:
    """A row of `forbidden_answers`: the latest 403s of one tenant for one model. Instants in seconds since 1970."""

    last_at: float
    last_body: bytes
    other_at: float | None
    alone: bool


def noted(before: Forbidden | None, *, body: bytes, at: float) -> Forbidden:
    """What is kept of a tenant's 403s for a model after one more, to a submit with this digest of its body."""
    if before is None:
        return Forbidden(at, body, None, alone=False)
    other_at = before.other_at if body == before.last_body else before.last_at
    return Forbidden(at, body, other_at, alone=False)


def forbidden_scope(own: Forbidden, others: Iterable[Forbidden], *, at: float) -> Scope | None:
    """What a 403 that has just been noted as `own` pauses; `others`: what is kept of other tenants for the same model."""
    since = at - WINDOW_SECONDS
    if any(other.last_at >= since and not other.alone for other in others):
        return Scope.EVERYBODY
    if own.other_at is not None and own.other_at >= since:
        return Scope.TENANT
    return None


def probe_step(*, state: str | None, accepted: bool, overdue_seconds: float) -> ProbeStep:
    """The step for a pause whose probe is a job in this state (None: it has no probe). `accepted`: the upstream has taken
    the job. `overdue_seconds`: since when the next probe may go; negative: it may not yet."""
    if accepted:
        return ProbeStep.LIFT
    if state == "sending":
        return ProbeStep.WAIT  # its lease says how long
    if state == "queued":
        return ProbeStep.CHOOSE if overdue_seconds >= QUEUED_SECONDS else ProbeStep.WAIT
    return ProbeStep.CHOOSE if overdue_seconds >= 0 else ProbeStep.WAIT
