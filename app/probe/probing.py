"""Sends one probe and watches it to its end, at the upstream and in its history.

Each step is recorded before the next one. Whatever interrupts it leaves a row that says what is known.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from app.core.clock import monotonic, now
from app.core.database.db import Database
from app.core.ids import new_id
from app.probe.decide import NEAR, find_own
from app.probe.models import (
    HISTORY_FAILURES_MAX,
    HISTORY_SECONDS,
    POLL_FIRST_SECONDS,
    POLL_MOST_SECONDS,
    ProbeOutcome,
)
from app.probe.operations import end_probe, keep_seen, learn, note_accepted, note_sent, open_probe, tell_cost
from app.probe.queries import LostProbe, list_owned, list_rivals
from app.probe.refused import no_answer, refusal
from app.probe.report import Probed, value_of
from app.probe.seen import RUNNING, Seen, names
from app.probe.wire import ProbeWire
from app.upstream.classify import classify_fetch, classify_poll, classify_submit
from app.upstream.history_rows import PER_PAGE, HistoryRow, once_each, read_body
from app.upstream.wire import Outcome, OutcomeKind

Say = Callable[[str], None]

_ENDED = {OutcomeKind.SUCCEEDED: ProbeOutcome.COMPLETED, OutcomeKind.FAILED: ProbeOutcome.FAILED}


class Prober:
    """Runs one probe. It sends at most once."""

    def __init__(
        self, *, database: Database, wire: ProbeWire, model: str, body: bytes, max_cost_micro: int, asked_by: str,
        patience_seconds: float, say: Say = lambda _: None,
    ) -> None:  # fmt: skip
        self._database, self._wire, self._say = database, wire, say
        self._body, self._asked_by = body, asked_by
        self._patience_seconds = patience_seconds
        self._began = 0.0
        self._gap_seconds = POLL_FIRST_SECONDS
        self._running = True
        self._unread = 0
        self.probed = Probed(new_id(), model, max_cost_micro, Seen(read_body(body)))

    async def probe(self) -> Probed:
        """Send it, watch it, and record what was seen. Raises StoreUnavailable. A cancel leaves the outcome unknown."""
        probed = self.probed
        async with self._database.transaction() as session:
            await open_probe(
                session, probe_id=probed.id, model=probed.model, body=self._body,
                max_cost_micro=probed.max_cost_micro, asked_by=self._asked_by,
            )  # fmt: skip
        self._say(f"probe {probed.id} is recorded")
        try:
            await self._follow()
        except asyncio.CancelledError:
            self._say(f"probe {probed.id} is not watched any more; its outcome is {probed.outcome}")
            raise
        await self._keep()
        return probed

    async def _follow(self) -> None:
        await self._submit()
        if self.probed.outcome is ProbeOutcome.UNKNOWN and self.probed.upstream_id is None:
            await self._look_for_it()
        if self.probed.upstream_id is not None:
            await self._watch(self.probed.upstream_id)

    async def _submit(self) -> None:
        probed = self.probed

        async def before_send() -> None:
            async with self._database.transaction() as session:
                probed.sent_at = await note_sent(session, probe_id=probed.id)
            self._began = monotonic()

        self._began = monotonic()
        exchange = await self._wire.submit(model=probed.model, body=self._body, before_send=before_send)
        outcome = classify_submit(exchange)
        if exchange.sent:
            probed.seen.note("submit", outcome.kind, exchange)
        if outcome.kind is OutcomeKind.ACCEPTED and outcome.upstream_id is not None:
            await self._accept(outcome.upstream_id)
        elif outcome.kind is OutcomeKind.UNKNOWN:
            probed.notes.append(no_answer(outcome))
            self._say(probed.notes[-1])
            if outcome.upstream_id is not None:  # the answer named it before it broke
                await self._accept(outcome.upstream_id)
        else:
            probed.notes.append(refusal(outcome, model=probed.model))
            nothing = outcome.kind is OutcomeKind.NOT_SENT
            await self._end(ProbeOutcome.NOT_SENT if nothing else ProbeOutcome.REFUSED, outcome)

    async def _accept(self, upstream_id: str) -> bool:
        async with self._database.transaction() as session:
            kept = await note_accepted(session, probe_id=self.probed.id, upstream_id=upstream_id)
        if kept:
            self.probed.upstream_id = upstream_id
            self._say(f"the upstream has it as {upstream_id}")
        return kept

    async def _look_for_it(self) -> None:
        """Look for a probe whose answer was lost in the history, until one row fits or patience ends."""
        if not self._wire.has_history:
            self.probed.notes.append("there is no request history (WAYSTATION_UPSTREAM_HISTORY_URL) to look for it")
            return
        while True:
            row = await self._find_own()
            if row is not None and await self._accept(row.upstream_id):
                self.probed.notes.append(f"found in the history as {row.upstream_id}")
                return
            if self._left_seconds() <= 0:
                self.probed.notes.append(
                    f"given up after {self._patience_seconds:g} s: the history has no request that can only be this one"
                )
                return
            self._say("looking for it in the history")
            await asyncio.sleep(min(HISTORY_SECONDS, max(self._left_seconds(), 0.0)))

    async def _find_own(self) -> HistoryRow | None:
        sent_at = self.probed.sent_at
        assert sent_at is not None
        exchange = await self._wire.history(model=self.probed.model, since=sent_at, until=now())
        read, _, number = self.probed.seen.note_page(exchange, None)
        oldest = min((row.created_at for row in read if row.created_at is not None), default=sent_at)
        rows = once_each(read)
        if number >= PER_PAGE and oldest > sent_at - NEAR:
            return None  # there may be more rows of that time
        async with self._database.snapshot() as snapshot:
            owned = await list_owned(snapshot, upstream_ids=[row.upstream_id for row in rows])
            rivals = await list_rivals(
                snapshot, probe_id=self.probed.id, model=self.probed.model, since=sent_at - NEAR, until=sent_at + NEAR
            )
        lost = LostProbe(self.probed.model, read_body(self._body), sent_at, self.probed.id)
        return find_own([row for row in rows if row.upstream_id not in owned], lost, rivals=rivals)

    async def _watch(self, upstream_id: str) -> None:
        """Poll, and read the history, until both have told the end, or patience ends."""
        probed = self.probed
        poll_at = history_at = monotonic()
        while True:
            if self._running and monotonic() >= poll_at:
                poll_at = monotonic() + await self._poll(upstream_id)
                if not self._running:
                    history_at = monotonic()
            reads = self._reads_history()
            if reads and monotonic() >= history_at:
                await self._look(upstream_id)
                history_at = monotonic() + HISTORY_SECONDS
            if not self._running and not self._reads_history():
                probed.watched = probed.seen.history_done or not self._wire.has_history
                if not probed.watched:
                    probed.notes.append(f"the history could not be read, {self._unread} times in a row")
                return
            if self._left_seconds() <= 0:
                what = "the job has not ended" if self._running else "the history does not show its end and its cost"
                probed.notes.append(f"given up after {self._patience_seconds:g} s: {what}")
                return
            waits = [at for at, wanted in ((poll_at, self._running), (history_at, reads)) if wanted]
            await asyncio.sleep(max(0.0, min(min(waits) - monotonic(), self._left_seconds())))

    def _reads_history(self) -> bool:
        given_up = self._unread >= HISTORY_FAILURES_MAX and not self._running
        return self._wire.has_history and not self.probed.seen.history_done and not given_up

    async def _poll(self, upstream_id: str) -> float:
        """Ask for the state, and once in each state for the result. Return the seconds until the next poll."""
        seen = self.probed.seen
        exchange = await self._wire.status(upstream_id)
        outcome = classify_poll(exchange)
        state = str(outcome.state or "-")
        seen.note_poll(state, exchange)
        ended = outcome.kind in _ENDED
        self._say(f"{self._elapsed():.0f} s: {state}, HTTP {exchange.status_code or exchange.failure}")
        if ended and seen.ended is None:
            seen.ended = self._elapsed()
        if ended or outcome.kind is OutcomeKind.RUNNING:
            outcome = await self._fetch(upstream_id, outcome)
        if outcome.kind in _ENDED:
            self._running = False
            seen.ended = self._elapsed() if seen.ended is None else seen.ended
            await self._end(_ENDED[outcome.kind], outcome)
        gap = max(self._gap_seconds, min(outcome.retry_after_seconds or 0.0, HISTORY_SECONDS * 12))
        self._gap_seconds = min(2 * self._gap_seconds, POLL_MOST_SECONDS)
        return gap

    async def _fetch(self, upstream_id: str, polled: Outcome) -> Outcome:
        """Ask for the result, once while it runs and once after its end. Return the outcome that says more."""
        of = str(polled.state) if polled.kind in _ENDED else RUNNING
        if any(one.call == "result" and one.of == of for one in self.probed.seen.answers):
            return polled
        exchange = await self._wire.result(upstream_id)
        fetched = classify_fetch(exchange)
        self.probed.seen.note("result", str(fetched.state) if fetched.kind in _ENDED else of, exchange)
        if fetched.kind not in _ENDED or (polled.metrics and polled.metrics.cost_micro is not None):
            return polled
        return fetched

    async def _look(self, upstream_id: str) -> None:
        """Read the history: a page, and the row alone if it is not on the page, or once if it is."""
        seen, sent_at = self.probed.seen, self.probed.sent_at
        assert sent_at is not None
        running = self._running
        page = await self._wire.history(model=self.probed.model, since=sent_at, until=now())
        _, rows, _ = seen.note_page(page, upstream_id)
        self._unread = 0 if page.status_code == 200 and page.failure is None else self._unread + 1
        if not rows or seen.history.by_id is None:
            alone = await self._look_alone(upstream_id)
            if alone or rows:
                seen.history.by_id = bool(alone)
            rows = rows or alone
        seen.note_rows(rows, at=self._elapsed(), running=running)
        cost = seen.history.cost_micro
        if cost is not None and not self._running and self.probed.cost_micro is None:
            self.probed.cost_micro = cost
            async with self._database.transaction() as session:
                await tell_cost(session, upstream_id=upstream_id, cost_micro=cost)

    async def _look_alone(self, upstream_id: str) -> list[Any]:
        exchange = await self._wire.history_of(upstream_id)
        value = self.probed.seen.note("history_of_one", "-", exchange)
        inner = value.get("data", value) if isinstance(value, dict) else value
        return [one for one in (inner if isinstance(inner, list) else [inner]) if names(one, upstream_id)]

    async def _end(self, outcome: ProbeOutcome, told: Outcome) -> None:
        probed = self.probed
        probed.outcome = outcome
        probed.cost_micro = told.metrics.cost_micro if told.metrics else None
        if outcome is ProbeOutcome.FAILED:
            probed.notes.append(refusal(told, model=probed.model))
        async with self._database.transaction() as session:
            await end_probe(
                session, probe_id=probed.id, outcome=outcome, cost_micro=probed.cost_micro,
                note="; ".join(probed.notes),
            )  # fmt: skip

    async def _keep(self) -> None:
        async with self._database.transaction() as session:
            await keep_seen(
                session, probe_id=self.probed.id, seen=value_of(self.probed), note="; ".join(self.probed.notes)
            )
            await learn(session, probe_id=self.probed.id, facts=self.probed.seen.facts())

    def _elapsed(self) -> float:
        return monotonic() - self._began

    def _left_seconds(self) -> float:
        return self._patience_seconds - self._elapsed()
