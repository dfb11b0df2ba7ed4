"""Writes of probes."""

from datetime import datetime
from typing import Any
from uuid import UUID

from app.core.database.session import Session
from app.core.database.sql import SqlFolder
from app.probe.models import FactName, ProbeOutcome

_SQL = SqlFolder(__file__)
_OPEN_PROBE = _SQL.command("open_probe")
_NOTE_SENT = _SQL.query("note_sent", datetime)
_NOTE_ACCEPTED = _SQL.query("note_accepted", UUID)
_END_PROBE = _SQL.command("end_probe")
_TELL_COST = _SQL.command("tell_cost")
_KEEP_SEEN = _SQL.command("keep_seen")
_LEARN = _SQL.command("learn")


async def open_probe(
    session: Session, *, probe_id: UUID, model: str, body: bytes, max_cost_micro: int, asked_by: str
) -> None:
    """Record a probe before anything of it is sent."""
    await session.run(
        _OPEN_PROBE, probe_id=probe_id, model=model, body=body, max_cost_micro=max_cost_micro, asked_by=asked_by
    )


async def note_sent(session: Session, *, probe_id: UUID) -> datetime:
    """Record that its first byte is sent as soon as this is committed. Return the instant."""
    return await session.get_value(_NOTE_SENT, probe_id=probe_id)


async def note_accepted(session: Session, *, probe_id: UUID, upstream_id: str) -> bool:
    """Record the upstream's id. Return False if the probe has one, or was not started."""
    return await session.find_value(_NOTE_ACCEPTED, probe_id=probe_id, upstream_id=upstream_id) is not None


async def end_probe(
    session: Session, *, probe_id: UUID, outcome: ProbeOutcome, cost_micro: int | None = None, note: str = ""
) -> None:
    """Record how it ended; once."""
    await session.run(_END_PROBE, probe_id=probe_id, outcome=str(outcome), cost_micro=cost_micro, note=note)


async def tell_cost(session: Session, *, upstream_id: str, cost_micro: int) -> None:
    """Record what the upstream charged, if that was not known."""
    await session.run(_TELL_COST, upstream_id=upstream_id, cost_micro=cost_micro)


async def keep_seen(session: Session, *, probe_id: UUID, seen: dict[str, Any], note: str = "") -> None:
    """Record what it saw, without values, and why it was not watched to its end."""
    await session.run(_KEEP_SEEN, probe_id=probe_id, seen=seen, note=note)


async def learn(session: Session, *, probe_id: UUID, facts: dict[FactName, Any]) -> None:
    """Record what was learned, in place of what was known before. What this probe could not see stays."""
    await session.run(_LEARN, probe_id=probe_id, facts={str(name): value for name, value in facts.items()})
