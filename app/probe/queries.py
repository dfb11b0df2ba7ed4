"""Reads of probes, and of what they have learned."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from app.core.database.session import ReadSession
from app.core.database.sql import SqlFolder
from app.probe.models import FactName
from app.upstream.history_rows import read_body


class LostProbe(NamedTuple):
    """A probe that was sent and whose upstream id is not known. body: its parameters, numbers as int or Decimal."""

    model: str
    body: Any
    sent_at: datetime
    id: UUID


class _Lost(NamedTuple):
    model: str
    body: bytes
    sent_at: datetime
    id: UUID


class Fact(NamedTuple):
    """A row of `upstream_facts`. value: of the type that FactName tells."""

    name: str
    value: Any
    learned_at: datetime
    probe_id: UUID


_SQL = SqlFolder(__file__)
_FIND_PROBE_IDS = _SQL.query("find_probe_ids", str)
_LIST_LOST_PROBES = _SQL.query("list_lost_probes", _Lost)
_LIST_FACTS = _SQL.query("list_facts", Fact)
_FIND_FACT = _SQL.query("find_fact", Fact)
_LIST_OWNED = _SQL.query("list_owned", str)
_LIST_RIVALS = _SQL.query("list_rivals", bytes)


async def find_probe_ids(session: ReadSession, *, upstream_ids: Sequence[str]) -> set[str]:
    """Return those of these requests of the upstream that are probes."""
    return set(await session.values(_FIND_PROBE_IDS, upstream_ids=list(upstream_ids)))


async def list_lost_probes(session: ReadSession, *, since: datetime, until: datetime) -> list[LostProbe]:
    """Return probes that were sent in [since, until) and whose upstream id is not known, oldest first."""
    rows = await session.rows(_LIST_LOST_PROBES, since=since, until=until)
    return [LostProbe(row.model, read_body(row.body), row.sent_at, row.id) for row in rows]


async def list_facts(session: ReadSession) -> dict[FactName, Fact]:
    """Return all that probes have learned, by name. Names of a newer release are left out."""
    known = {str(name) for name in FactName}
    return {FactName(row.name): row for row in await session.rows(_LIST_FACTS) if row.name in known}


async def find_fact(session: ReadSession, *, name: FactName) -> Any | None:
    """Return the value of a fact, or None if no probe has learned it."""
    fact = await session.find_row(_FIND_FACT, name=str(name))
    return None if fact is None else fact.value


async def list_owned(session: ReadSession, *, upstream_ids: Sequence[str]) -> set[str]:
    """Return those of these requests of the upstream that belong to a job or a probe."""
    return set(await session.values(_LIST_OWNED, upstream_ids=list(upstream_ids)))


async def list_rivals(
    session: ReadSession, *, probe_id: UUID, model: str, since: datetime, until: datetime
) -> list[Any]:
    """Return the parameters of all that was sent to the model in [since, until) and has no known request, but this probe."""
    rows = await session.values(_LIST_RIVALS, probe_id=probe_id, model=model, since=since, until=until)
    return [read_body(body) for body in rows]
