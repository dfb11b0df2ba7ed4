"""A worker's log lines about jobs that went wrong. Call these after the commit: what is rolled back did not happen."""

from collections.abc import Iterable
from itertools import groupby
from uuid import UUID

from app.core.ids import show_id
from app.core.logs.grouped_log import GroupedLog
from app.core.logs.log import get_logger
from app.jobs.claiming.claims import ClaimedRead
from app.jobs.claiming.records import Moved, SubmitRecord
from app.jobs.claiming.turns import ClaimedJob
from app.jobs.endings import EndedJob
from app.jobs.models import State
from app.upstream.wire import Outcome

log = get_logger(__name__)

_Kind = tuple[str, str]


class JobTrouble:
    """The warnings of one worker about jobs. Equal warnings within a few seconds share a line that lists the ids."""

    def __init__(self) -> None:
        self._log = GroupedLog(log)

    def failed(self, ended: Iterable[EndedJob]) -> None:
        """Log the ended jobs that FAILED, by model and code. Canceled jobs are not logged."""
        failed = ((row.model, row.error_code or "", row.id) for row in ended if row.state == State.FAILED)
        for (model, code), ids in _grouped(failed):
            self._warn("job.failed", ids, model=model, code=code)

    def unknown(self, jobs: Iterable[tuple[str, str, UUID]]) -> None:
        """Log unknown submissions. Each job is given as model, reason and id."""
        for (model, reason), ids in _grouped(jobs):
            self._warn("job.unknown", ids, model=model, reason=reason)

    def submitted(self, moved: Moved[EndedJob], records: Iterable[SubmitRecord]) -> None:
        """Log the submits that failed or became unknown."""
        self.failed(moved.rows)
        reasons = {record.job_id: record.outcome.detail for record in records if record.step.to_state is State.UNKNOWN}
        if reasons:
            lost = [row for row in moved.rows if row.id in reasons and row.state == State.UNKNOWN]
            self.unknown((row.model, reasons[row.id], row.id) for row in lost)

    def polled(self, moved: Moved[EndedJob]) -> None:
        """Log the jobs that failed or cost more than their hold, and the models disabled for that."""
        self.failed(moved.rows)
        for (model, _), ids in _grouped((row.model, "", row.id) for row in moved.ended.above_hold):
            self._warn("job.cost_above_hold", ids, model=model)
        for model in moved.ended.disabled:
            log.warning("model.disabled", model=model, reason="cost_above_hold")

    def not_sent(self, row: ClaimedJob, detail: str) -> None:
        """Log that a submit was not sent and is retried, once for each job."""
        if not row.retries:
            self._warn("submit.not_sent", [row.id], detail=detail)

    def no_answer(self, row: ClaimedRead, outcome: Outcome) -> None:
        """Log that a poll got no answer, while the one before got one."""
        self._warn("poll.no_answer", [row.id], outcome=outcome.kind, detail=outcome.detail)

    def unreadable(self, row: ClaimedRead, outcome: Outcome) -> None:
        """Log that the answer to a poll cannot be read, while the one before could be."""
        self._warn("poll.unreadable", [row.id], status_code=outcome.status_code, detail=outcome.detail)

    def flush(self) -> None:
        """Log the waiting warnings. Call it before the process ends."""
        self._log.flush()

    def _warn(self, event: str, ids: Iterable[UUID], **keywords: str | int | None) -> None:
        self._log.warn(event, name="job_ids", ids=[show_id("job", one) for one in ids], **keywords)


def _grouped(jobs: Iterable[tuple[str, str, UUID]]) -> Iterable[tuple[_Kind, list[UUID]]]:
    """The ids grouped by the two texts before them."""
    for kind, group in groupby(sorted(jobs), key=lambda one: one[:2]):
        yield kind, [job_id for _, _, job_id in group]
