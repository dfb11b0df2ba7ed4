"""Tenants that claims skip because another transaction has locked their queues."""

import math
from collections.abc import Collection, Iterable
from uuid import UUID

from app.core import clock

LOOK_SECONDS, LOOK_SECONDS_MAX = 0.01, 0.2
"""Time until the next claim for them. It doubles while the same tenants are skipped."""
PATIENT_SECONDS = 0.5
"""A claim waits for a tenant that was skipped for this long, or a queue that is locked nearly always would never be served."""


class PassedOver:
    """The skipped tenants of one worker's last claims."""

    def __init__(self) -> None:
        self._since: dict[UUID, float] = {}
        self._look_seconds = LOOK_SECONDS

    @property
    def tenant_ids(self) -> Collection[UUID]:
        """The tenants that the last claim skipped."""
        return self._since.keys()

    def note(self, tenant_ids: Iterable[UUID]) -> float:
        """Note which tenants a claim has skipped. Returns the seconds until the next claim for them, infinite if there are
        none."""
        now = clock.monotonic()
        before, self._since = self._since, {one: self._since.get(one, now) for one in tenant_ids}
        if not self._since:
            return math.inf
        again = any(one in before for one in self._since)
        self._look_seconds = min(2 * self._look_seconds, LOOK_SECONDS_MAX) if again else LOOK_SECONDS
        return self._look_seconds

    def find_starved(self) -> UUID | None:
        """Return the tenant whose queue the next claim should wait for, if any, at most once in PATIENT_SECONDS."""
        now = clock.monotonic()
        starved = min(self._since, key=lambda one: self._since[one], default=None)
        if starved is None or now - self._since[starved] < PATIENT_SECONDS:
            return None
        self._since[starved] = now
        return starved
