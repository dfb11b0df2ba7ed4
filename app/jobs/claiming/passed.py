"""Tenants that claims pass over because somebody else has locked their queues."""

import math
from collections.abc import Collection, Iterable
from uuid import UUID

from app.core import clock

LOOK_SECONDS, LOOK_SECONDS_MAX = 0.01, 0.2
"""Until the next look for them, doubling while the same are passed over."""
PATIENT_SECONDS = 0.5
"""Who is passed over for so long is waited for: whose queue is locked nearly all the time would otherwise never be sent."""


class PassedOver:
    """Those of the last claims of one worker."""

    def __init__(self) -> None:
        self._since: dict[UUID, float] = {}
        self._look_seconds = LOOK_SECONDS

    @property
    def tenant_ids(self) -> Collection[UUID]:
        """Those of the last claim."""
        return self._since.keys()

    def note(self, tenant_ids: Iterable[UUID]) -> float:
        """Whom a claim has passed over; gives the seconds until the next look for them, infinite where there is nobody."""
        now = clock.monotonic()
        before, self._since = self._since, {one: self._since.get(one, now) for one in tenant_ids}
        if not self._since:
            return math.inf
        again = any(one in before for one in self._since)
        self._look_seconds = min(2 * self._look_seconds, LOOK_SECONDS_MAX) if again else LOOK_SECONDS
        return self._look_seconds

    def find_starved(self) -> UUID | None:
        """The tenant whose queue the next claim should wait for, if any. It is named again after PATIENT_SECONDS at the
        earliest."""
        now = clock.monotonic()
        starved = min(self._since, key=lambda one: self._since[one], default=None)
        if starved is None or now - self._since[starved] < PATIENT_SECONDS:
            return None
        self._since[starved] = now
        return starved
