"""Run times of each model, learned from its completed jobs."""

from collections.abc import Callable, Iterable

from app.core import clock
from app.core.database.db import Database
from app.core.errors import StoreUnavailable
from app.core.logs.grouped_log import Outage
from app.core.logs.log import get_logger
from app.jobs.estimates.schedule import LIMITED_POLL_WORTH_SECONDS, POLL_WORTH_SECONDS, Schedule, schedule
from app.jobs.queries import list_run_times

log = get_logger(__name__)

FRESH_SECONDS = 15.0


class RunTimes:
    """Poll schedules by model, computed from the database at most once in FRESH_SECONDS."""

    def __init__(self, database: Database, *, polls_limited: Callable[[], bool] = lambda: False) -> None:
        """`polls_limited`: returns whether polls currently use up the upstream's rate limit at the cost of submits."""
        self._database = database
        self._polls_limited = polls_limited
        self._unread = Outage(log, begun="run_times.not_learned", over="run_times.learned")
        self._known: dict[str, tuple[Schedule, float]] = {}
        self._unknown = schedule([], published_seconds=None)

    def of(self, model: str) -> Schedule:
        """Return the model's schedule as last learned."""
        known = self._known.get(model)
        return known[0] if known else self._unknown

    async def learn(self, models: Iterable[str]) -> None:
        """Read the run times of those models that are new or stale, if the database is available. At most one statement."""
        now = clock.monotonic()
        stale = [model for model in set(models) if model not in self._known or self._known[model][1] < now]
        if not stale:
            return
        try:
            async with self._database.snapshot() as session:
                rows = await list_run_times(session, models=stale)
        except StoreUnavailable as error:
            self._unread.met(cause=repr(error.__cause__))
            return
        self._unread.passed()
        worth_seconds = LIMITED_POLL_WORTH_SECONDS if self._polls_limited() else POLL_WORTH_SECONDS
        for model, samples, published in rows:
            found = schedule(samples, published_seconds=published, worth_seconds=worth_seconds)
            self._known[model] = (found, now + FRESH_SECONDS)
