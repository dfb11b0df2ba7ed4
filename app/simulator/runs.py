"""Runs: what the upstream does for an accepted submit. A run is drawn once, at the submit; its state follows from the clock.

QUEUED -> PROCESSING -> COMPLETED | FAILED
"""

import hashlib
import math
import struct
from dataclasses import dataclass
from typing import Any, Literal

from app.simulator.config import SimulatorConfig
from app.simulator.profiles import ModelProfile, ResultKind

State = Literal["QUEUED", "PROCESSING", "COMPLETED", "FAILED"]

_VALIDATION_QUEUE_SECONDS = 0.025989
FAILURE = "The model could not process this request."
"""The error of a run that fails although its parameters are valid."""


@dataclass(slots=True)
class Run:
    """Times in seconds (already divided by the speed), instants in seconds since 1970, money in micro-credits."""

    request_id: str
    slug: str
    kind: ResultKind
    outputs: int
    submitted_at: float
    queue_seconds: float
    run_seconds: float
    reserved_micros: int
    cost_micros: int
    error: str | None
    """Why it ends FAILED. None: it ends COMPLETED."""
    is_invalid: bool
    """Whether it fails because of its parameters."""
    body: bytes
    key: str
    history_late_seconds: float = 0.0
    """How much later than others its row appears in the history."""
    history_lies: bool = False
    """Whether its row says FAILED although it ended COMPLETED, or COMPLETED although it ended FAILED."""
    remaining_micros: int | None = None
    """The balance after this run was charged. None until then."""

    @property
    def ends_at(self) -> float:
        return self.submitted_at + self.queue_seconds + self.run_seconds

    @property
    def appears_at(self) -> float:
        """When its row appears in the history, but for the lag of all rows."""
        return self.submitted_at + self.history_late_seconds

    def state(self, now: float) -> State:
        """The state at an instant."""
        elapsed = now - self.submitted_at - self.queue_seconds
        if elapsed < 0:
            return "QUEUED"
        if elapsed < self.run_seconds:
            return "PROCESSING"
        return "COMPLETED" if self.error is None else "FAILED"


def reservation_micros(profile: ModelProfile, config: SimulatorConfig) -> int:
    """What must be free on the account before a run of this model begins. Only a `dear` run costs more."""
    mean = config.default_cost_micros if profile.cost_micros is None else profile.cost_micros
    return math.ceil(mean * (1 + config.cost_spread))


def draw_run(
    profile: ModelProfile,
    config: SimulatorConfig,
    *,
    request_id: str,
    now: float,
    body: bytes,
    key: str,
    invalid: str | None = None,
    cold: bool = False,
) -> Run:
    """Draw a new run. The same seed, request id and settings draw the same one. `invalid`: why its validation will fail."""
    digest = hashlib.blake2b(f"{config.seed}:{request_id}".encode(), digest_size=32).digest()
    first, second, spread, luck = (number / 2**64 for number in struct.unpack("4Q", digest))
    # One Box-Muller pair of normal deviates: for the run time and for the queue time.
    radius = math.sqrt(-2 * math.log(1 - first))
    sigma = config.sigma
    run_gauss, queue_gauss = radius * math.cos(math.tau * second), radius * math.sin(math.tau * second)
    mean_run = config.default_run_seconds if profile.run_seconds is None else profile.run_seconds
    mean_cost = config.default_cost_micros if profile.cost_micros is None else profile.cost_micros
    run_seconds = mean_run * math.exp(sigma * run_gauss - sigma * sigma / 2)
    queue_seconds = config.queue_mean_seconds * math.exp(sigma * queue_gauss - sigma * sigma / 2)
    if cold:
        queue_seconds += config.cold_start_seconds
    error = invalid
    if invalid is not None:
        queue_seconds, run_seconds = _VALIDATION_QUEUE_SECONDS, config.validation_seconds
    elif profile.slug == "sim-instant":
        queue_seconds = 0.0
    elif profile.slug == "sim-fail" or luck < config.failure_probability:
        error = FAILURE
    late_seconds, lies = _draw_history(config, request_id)
    return Run(
        request_id=request_id,
        slug=profile.slug,
        kind=profile.kind,
        outputs=profile.outputs,
        submitted_at=now,
        queue_seconds=queue_seconds / config.speed,
        run_seconds=run_seconds / config.speed,
        reserved_micros=reservation_micros(profile, config),
        cost_micros=round(mean_cost * (1 + config.cost_spread * (2 * spread - 1))),
        error=error,
        is_invalid=invalid is not None,
        body=body,
        key=key,
        history_late_seconds=late_seconds,
        history_lies=lies,
    )


def _draw_history(config: SimulatorConfig, request_id: str) -> tuple[float, bool]:
    """How late the run's row is, and whether it lies."""
    if not (config.history_late_probability or config.history_lies_probability):
        return 0.0, False
    digest = hashlib.blake2b(f"{config.seed}:{request_id}:history".encode(), digest_size=24).digest()
    late, share, lies = (number / 2**64 for number in struct.unpack("3Q", digest))
    late_seconds = share * config.history_late_seconds if late < config.history_late_probability else 0.0
    return late_seconds, lies < config.history_lies_probability


def to_fact(run: Run) -> dict[str, Any]:
    """The members of a `started` line that restore the run after a restart."""
    try:
        body = run.body.decode()
    except UnicodeDecodeError:
        body = ""
    return {
        "request_id": run.request_id,
        "slug": run.slug,
        "key": run.key,
        "kind": run.kind,
        "outputs": run.outputs,
        "queue_seconds": run.queue_seconds,
        "run_seconds": None if math.isinf(run.run_seconds) else run.run_seconds,
        "reserved_micros": run.reserved_micros,
        "drawn_cost_micros": run.cost_micros,
        "drawn_error": run.error,
        "is_invalid": run.is_invalid,
        "history_late_seconds": run.history_late_seconds,
        "history_lies": run.history_lies,
        "body": body,
    }


def from_fact(fact: dict[str, Any]) -> Run:
    """Restore a run from a `started` line of the book."""
    return Run(
        request_id=fact["request_id"],
        slug=fact["slug"],
        kind=fact["kind"],
        outputs=fact["outputs"],
        submitted_at=fact["at"],
        queue_seconds=fact["queue_seconds"],
        run_seconds=math.inf if fact["run_seconds"] is None else fact["run_seconds"],
        reserved_micros=fact["reserved_micros"],
        cost_micros=fact["drawn_cost_micros"],
        error=fact["drawn_error"],
        is_invalid=fact["is_invalid"],
        body=fact["body"].encode(),
        key=fact["key"],
        history_late_seconds=fact.get("history_late_seconds", 0.0),  # older books lack both
        history_lies=fact.get("history_lies", False),
    )
