"""Make the bodies of job events, for webhooks and the feed, in the format of the native surface."""

from collections.abc import Sequence
from uuid import UUID

from app.api.jobs.bodies import event_data
from app.core.database.session import ReadSession
from app.core.ids import show_id
from app.core.logs.log import get_logger
from app.jobs.queries import list_jobs_of_events
from app.webhooks.claims import EventHead
from app.webhooks.decide import BODY_BYTES_MAX, event_body

log = get_logger(__name__)


async def render_events(session: ReadSession, events: Sequence[EventHead], *, base_url: str) -> dict[UUID, bytes]:
    """The bodies of these job events, each at most 20 kB: if necessary an output is replaced by its URL. An event whose job
    is missing is logged and left out."""
    rows = await list_jobs_of_events(
        session, job_ids=[event.job_id for event in events], result_bytes_max=BODY_BYTES_MAX
    )
    jobs = {row.id: row for row in rows}
    bodies: dict[UUID, bytes] = {}
    for event in events:
        row = jobs.get(event.job_id)
        if row is None:
            log.error("event.without_job", event_id=show_id("evt", event.id), job_id=show_id("job", event.job_id))
            continue
        bodies[event.id] = event_body(
            type_=event.type,
            at=event.created_at,
            sequence=event.sequence,
            data=event_data(base_url, row, type_=event.type),
        )
    return bodies
