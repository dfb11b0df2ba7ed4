"""Pausing submits for everybody, and going on."""

from app.admission.models import PauseReason
from app.core.db import Session

# A pause for the account outranks one for throttling, and words are kept until it is over.
_PAUSE = """
UPDATE upstream_state SET
    paused_until = greatest(paused_until, now() + make_interval(secs => $2)),
    paused_since = CASE WHEN paused_reason IS DISTINCT FROM $1 THEN now() ELSE paused_since END,
    paused_reason = $1, paused_detail = $3, pauses = least(pauses + 1, 1000), updated_at = now()
WHERE paused_reason IS DISTINCT FROM 'account' OR $1 = 'account'
"""

_RESUME = """
UPDATE upstream_state SET
    paused_until = NULL, paused_since = NULL, paused_reason = NULL, paused_detail = NULL, pauses = 0, updated_at = now()
WHERE paused_reason IS NOT NULL AND paused_until <= now()
"""


async def pause_submits(session: Session, *, reason: PauseReason, seconds: float, detail: str) -> None:
    """Submits wait for so long, on all workers. One statement."""
    await session.execute(_PAUSE, reason, seconds, detail[:500])


async def resume_submits(session: Session) -> bool:
    """A submit has got through: forget a pause that is over; says whether there was one. One statement."""
    return await session.execute(_RESUME) > 0
