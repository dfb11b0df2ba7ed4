"""Decides when 403s mean that the upstream forbids us a model, and when to try again. Pure functions without a clock.

A 403 to a submit always fails its own job. Kept are those that may be about the model, as the caller decides.

An accepted submit shows that the 403s before it were about single jobs. It deletes those of its own tenant. Those of
other tenants then count for these tenants alone.

probe: the one job that is sent despite such a pause. If it is accepted, the pause ends.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

WINDOW_SECONDS = 600.0
"""403s that are further apart are not combined."""
KEPT_SECONDS = 3600.0
"""How long a 403 is kept. When a probe is chosen, tenants without a kept 403 come first."""
PROBE_SECONDS = (5.0, 300.0)
"""The time from a pause, and from each refused probe, to the next probe. It doubles from the first to the second."""
QUEUED_SECONDS = 60.0
"""A probe that was not sent for this long is replaced by another one."""
SOON_SECONDS = 5.0
"""The time to the next probe after one whose end showed nothing: canceled, unknown, or refused for another reason."""


class Scope(StrEnum):
    """Which tenants' use of a model is paused."""

    EVERYBODY = "everybody"
    TENANT = "tenant"


class ProbeStep(StrEnum):
    """What to do about the probe of a pause. WAIT: nothing yet. CHOOSE: send another job. LIFT: end the pause."""

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
    """What to keep of a tenant's 403s for a model after one more at `at`. `body`: the digest of that submit's body."""
    if before is None:
        return Forbidden(at, body, None, alone=False)
    other_at = before.other_at if body == before.last_body else before.last_at
    return Forbidden(at, body, other_at, alone=False)


def forbidden_scope(own: Forbidden, others: Iterable[Forbidden], *, at: float) -> Scope | None:
    """What a 403 pauses that has just been stored in `own`. `others`: those kept of other tenants for the same model."""
    since = at - WINDOW_SECONDS
    if any(other.last_at >= since and not other.alone for other in others):
        return Scope.EVERYBODY
    if own.other_at is not None and own.other_at >= since:
        return Scope.TENANT
    return None


def probe_step(*, state: str | None, accepted: bool, overdue_seconds: float) -> ProbeStep:
    """The step for the probe of a pause. `state`: of its job; None: there is none. `accepted`: by the upstream.
    `overdue_seconds`: since the next probe was due; negative: not due yet."""
    if accepted:
        return ProbeStep.LIFT
    if state == "sending":
        return ProbeStep.WAIT  # its lease limits the wait
    if state == "queued":
        return ProbeStep.CHOOSE if overdue_seconds >= QUEUED_SECONDS else ProbeStep.WAIT
    return ProbeStep.CHOOSE if overdue_seconds >= 0 else ProbeStep.WAIT
