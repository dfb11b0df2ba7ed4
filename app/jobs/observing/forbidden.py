"""Models that the upstream does not let us use: paused if its 403s agree, and probed with one job at a time."""

import re
from collections.abc import Collection
from uuid import UUID

from app.core.database.db import Database, retry_until_stored
from app.core.ids import show_id
from app.core.logs.log import get_logger
from app.core.off_loop import run_sized
from app.jobs.admin.pausing import put_back
from app.jobs.claiming.turns import ClaimedJob
from app.jobs.observing.evidence import body_digest, is_evidence
from app.jobs.observing.probing import Probe, find_candidate, list_probes, postpone_probe, send_probe
from app.jobs.queries import find_owner
from app.pace.pauses.forbidden import ProbeStep, Scope, forbidden_scope, noted
from app.pace.pauses.model_pauses import (
    Lifted,
    find_refuted,
    is_paused_by_upstream,
    keep_answer,
    lift_model_pauses,
    list_answers,
    lock_model,
    note_accepted,
    pause_model,
    refuse_probe,
)
from app.upstream.wire import Outcome
from app.web.parse_budget import cost_at_least

log = get_logger(__name__)

_UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
"""Characters that are removed from a text for people."""


class ForbiddenModels:
    """The forbidden models in one worker. Any worker may do each step, and repeat it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def note(self, row: ClaimedJob, outcome: Outcome) -> None:
        """Note a 403 to the submit of this claimed job, and pause its model if the answers of the last minutes agree. Call it
        before the job is recorded: a reader that sees it FAILED then also sees the pause."""

        async def refuse() -> bool:
            async with self._database.statement() as session:
                return await refuse_probe(session, job_id=row.id)

        refused = await retry_until_stored(refuse)
        if refused:
            log.info("model.probe_refused", model=row.model, job_id=show_id("job", row.id))
        if not is_evidence(outcome):
            return
        digest = await run_sized(cost_at_least(row.body), body_digest, row.body)
        reason = _UNFIT.sub(" ", outcome.error or outcome.detail)

        async def keep() -> tuple[Scope | None, UUID]:
            async with self._database.transaction() as session:
                at, tenant_id = await find_owner(session, job_id=row.id)
                await lock_model(session, model=row.model)
                own, others = await list_answers(session, model=row.model, tenant_id=tenant_id)
                now = noted(own, body=digest, at=at)
                await keep_answer(session, model=row.model, tenant_id=tenant_id, answer=now)
                scope = forbidden_scope(now, others, at=at)
                if scope is None or not await pause_model(
                    session, model=row.model, tenant_id=tenant_id, scope=scope, note=reason
                ):
                    return None, tenant_id
                return scope, tenant_id

        scope, tenant_id = await retry_until_stored(keep)
        if scope is not None:
            of = None if scope is Scope.EVERYBODY else show_id("ten", tenant_id)
            log.warning("model.paused", model=row.model, tenant_id=of, reason=reason)

    async def accepted(self, submits: Collection[tuple[str, UUID]]) -> bool:
        """Delete the stored 403s that these accepted submits (model, tenant) refute, and lift the pauses because of them. Returns
        whether a pause was lifted."""

        async def find() -> list[tuple[str, UUID]]:
            async with self._database.statement() as session:
                return await find_refuted(session, accepted=submits)

        refuted = await retry_until_stored(find)
        lifted = [one for model, tenant_id in refuted for one in await self._refute(model, tenant_id)]
        return bool(lifted)

    async def _refute(self, model: str, tenant_id: UUID) -> list[Lifted]:
        async def write() -> list[Lifted]:
            async with self._database.transaction() as session:
                await note_accepted(session, model=model, tenant_id=tenant_id)
                if not await is_paused_by_upstream(session, model=model, tenant_id=tenant_id):
                    return []
                lifted = await lift_model_pauses(session, model=model, tenant_id=tenant_id)
                await put_back(session)
                return lifted

        lifted = await retry_until_stored(write)
        for pause in lifted:
            log.warning(
                "model.resumed",
                model=model,
                tenant_id=pause.tenant_id and show_id("ten", pause.tenant_id),
                seconds=round(pause.seconds, 1),
                refused_probes=pause.refusals,
            )
        return lifted

    async def probe(self) -> bool:
        """Send one job under each pause whose next probe is due, and end pauses whose probe was accepted but whose worker died
        before it lifted them. Returns whether a job may be sent now."""
        async with self._database.statement() as session:
            probes = await list_probes(session)
        going = False
        for probe in probes:
            if probe.step is ProbeStep.LIFT and probe.job_tenant_id is not None:
                going = await self.accepted([(probe.model, probe.job_tenant_id)]) or going
            else:
                going = await self._send(probe) or going
        return going

    async def _send(self, probe: Probe) -> bool:
        async with self._database.statement() as session:
            job_id = await find_candidate(session, probe=probe)
        async with self._database.statement() as session:
            if job_id is None:
                await postpone_probe(session, probe=probe)
                return False
            sent = await send_probe(session, probe=probe, job_id=job_id)
        if sent:
            log.info("model.probed", model=probe.model, job_id=show_id("job", job_id))
        return sent
