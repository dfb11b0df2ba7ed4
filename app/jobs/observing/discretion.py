"""Discretion: removes the company's balances from an error of the upstream before it is stored, and encrypts the original."""

import asyncio
import math
from uuid import UUID

from app.core import clock
from app.core.database.db import Database, retry_until_stored
from app.core.database.vault import Vault
from app.core.process.pump import Pump
from app.jobs.admin.originals import BYTES_MAX
from app.pace.balances import find_balances, forget_balances, note_balances
from app.upstream.account import UpstreamCredits
from app.upstream.discretion import AMOUNTS_MAX, Range, Said, balance_micro, ranges_of, redact_account_details, said
from app.upstream.wire import Outcome

NOTE_SECONDS = 1.0
"""How often balances are stored, for the other workers."""
NOTED_MAX = 100
"""At most this many, the latest, are stored at a time: a busy second may have more."""
KEPT_SECONDS = 3600.0
"""A balance that does not change is stored once in this time."""
REMEMBERED_MAX = 10_000
"""How many recently stored balances a worker remembers, so that it stores each only once."""
FORGET_SECONDS = 60.0


class Discretion:
    """The discretion of one worker. It gets every balance that the worker reads: from results, and from the account's client."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self.pump = Pump("balances", self._step, gap_seconds=NOTE_SECONDS)
        self._database = database
        self._vault = vault
        self._new: dict[int, None] = {}
        self._noted: dict[int, float] = {}
        self._forget_at = 0.0

    def read(self, credits: UpstreamCredits) -> None:
        """Note the balances in an answer about the account."""
        for micro in credits.balances:
            self._note(micro)

    async def told(self, outcome: Outcome) -> Outcome:
        """Return the outcome as it may be stored. Waits for the database if the error contains an amount of four digits or
        more. If it is cancelled meanwhile, it removes all amounts. Raises nothing."""
        metrics = outcome.metrics
        if metrics is not None and metrics.remaining_credits is not None:
            micro = balance_micro(metrics.remaining_credits)
            if micro is not None:
                self._note(micro)
        words = said(outcome)
        if words is None:
            return outcome
        if words.about_account or len(words.amounts) > AMOUNTS_MAX:
            return redact_account_details(words, lambda _: True)
        hidden = await self._balances_in(words)
        return redact_account_details(words, lambda amount: amount in hidden)

    def sealed(self, job_id: UUID, outcome: Outcome) -> bytes | None:
        """Return the upstream's original error, encrypted for the job's row, or None if nothing was removed from it."""
        return None if outcome.original is None else self._vault.seal(job_id, outcome.original[:BYTES_MAX])

    async def flush(self) -> None:
        """Store the balances that were read since the last time. Raises StoreUnavailable."""
        new = list(self._new)
        if new:
            async with self._database.statement() as session:
                await note_balances(session, micros=new[-NOTED_MAX:])
            for micro in new:  # only now: before, no other worker knows that they are balances
                self._new.pop(micro)

    async def _balances_in(self, words: Said) -> set[str]:
        """Those of the amounts that are balances."""
        candidates = [(amount, range) for amount, ranges in ranges_of(words.amounts).items() for range in ranges]
        hidden = {amount for amount, candidate in candidates if self._is_new(candidate)}
        asked = [(amount, candidate) for amount, candidate in candidates if amount not in hidden]
        if not asked:
            return hidden

        async def find() -> set[int]:
            async with self._database.snapshot() as session:
                return await find_balances(session, ranges=[one for _, one in asked])

        try:
            found = await retry_until_stored(find)
        except asyncio.CancelledError:  # the process stops, but the job's outcome is still to be recorded
            return words.amounts
        return hidden | {asked[number][0] for number in found}

    def _is_new(self, wanted: Range) -> bool:
        return any(wanted.low <= micro <= wanted.high for micro in self._new)

    def _note(self, micro: int) -> None:
        now = clock.monotonic()
        if now < self._noted.get(micro, -math.inf) + KEPT_SECONDS:
            return
        if len(self._noted) >= REMEMBERED_MAX:
            self._noted.clear()
        self._noted[micro] = now
        self._new[micro] = None
        self.pump.ring()  # always: a write that is running does not include this one

    async def _step(self) -> float:
        await self.flush()
        now = clock.monotonic()
        if now >= self._forget_at:
            self._forget_at = now + FORGET_SECONDS
            async with self._database.statement() as session:
                await forget_balances(session)
        return math.inf
