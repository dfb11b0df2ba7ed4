"""The simulator's state, and what changes it: a run starts, runs end, old runs are deleted."""

import hashlib
import heapq
import secrets

from app.core import clock
from app.simulator.account import Account, RateLimit
from app.simulator.book import BodyHash, Book, BookError
from app.simulator.config import MICROS_PER_CREDIT, SimulatorConfig
from app.simulator.faults import FaultRule, FaultRules
from app.simulator.profiles import ModelProfile
from app.simulator.runs import FAILURE, Run, draw_run, from_fact, to_fact
from app.simulator.stats import Stats
from app.simulator.timeline import Timeline


class Simulator:
    """One upstream account with all its runs. No method waits. Call it from one thread."""

    def __init__(self, config: SimulatorConfig) -> None:
        """Create a simulator with the facts of the book at `config.book_path`.

        Raises OSError if the book cannot be opened, and BookError if it is invalid.
        """
        self.config = config
        self.book = Book(config.book_path)
        self.account = Account(config)
        self.limit = RateLimit(config)
        self.history_limit = RateLimit(config, "history_rpm")
        self.faults = FaultRules(config.seed)
        self.stats = Stats()
        self.runs: dict[str, Run] = {}
        """By request id, oldest first."""
        self.timeline = Timeline()
        self.named: dict[str, Run] = {}
        """By slug, the run that the answer to the last accepted submit named."""
        self._due: list[tuple[float, str, Run]] = []
        self._warm: dict[str, float] = {}
        self._started = 0
        self._clock_offset = clock.now().timestamp() - clock.monotonic()
        try:
            self._reload()
        except (KeyError, TypeError, ValueError) as error:
            self.book.close()
            raise BookError(f"{config.book_path}: not a simulator's book, or damaged: {error!r}") from error

    def now(self) -> float:
        """Seconds since 1970 by a monotonic clock."""
        return clock.monotonic() + self._clock_offset

    def _reload(self) -> None:
        for fact in self.book.facts():
            if fact["fact"] == "started":
                run = from_fact(fact)
                self.runs[run.request_id] = run
                self.timeline.add(run)
                if "twin_of" not in fact:
                    self.named[run.slug] = self.runs.get(fact.get("answered_id", ""), run)
                self._started += 1
            if fact["fact"] not in ("charged", "failed"):
                continue
            run = self.runs[fact["request_id"]]
            run.remaining_micros = fact["remaining_micros"]
            self.account.spent_micros += fact["cost_micros"]
            self.config.credits_micros = fact["remaining_micros"]
        for run in self.runs.values():
            if run.remaining_micros is None:
                self.account.reserve(run.reserved_micros)
                heapq.heappush(self._due, (run.ends_at, run.request_id, run))

    def settle(self, now: float) -> None:
        """Charge the runs that have ended by now, in the order of their ends. Failed runs cost nothing."""
        due = self._due
        while due and due[0][0] <= now:
            ends_at, request_id, run = heapq.heappop(due)
            cost = run.cost_micros if run.error is None else 0
            run.remaining_micros = self.account.settle(run.reserved_micros, cost)
            self.book.write(
                "charged" if run.error is None else "failed",
                ends_at,
                request_id=request_id,
                slug=run.slug,
                key=run.key,
                cost_micros=cost,
                remaining_micros=run.remaining_micros,
                error=run.error,
            )

    def find_run(self, request_id: str, now: float) -> Run | None:
        """Return the run, charged if it has ended, or None if it never existed or was deleted."""
        if self._due and self._due[0][0] <= now:
            self.settle(now)
        return self.runs.get(request_id)

    @property
    def in_flight(self) -> int:
        return len(self._due)

    def start(
        self,
        profile: ModelProfile,
        *,
        now: float,
        body: bytes,
        hashed: BodyHash,
        key: str,
        invalid: str | None,
        twin_of: str | None = None,
        answered_id: str | None = None,
        rule: FaultRule | None = None,
    ) -> Run:
        """Start a run and write it to the book. The caller has checked that it may start.

        answered_id: the request id that the answer names, if it is not the run's own. rule: a steered fault.
        """
        self._started += 1
        run = draw_run(
            profile,
            self.config,
            request_id=self._new_request_id(),
            now=now,
            body=body,
            key=key,
            invalid=invalid,
            cold=self._is_cold(profile.slug, now),
        )
        if rule is not None and rule.fault == "dear":
            run.cost_micros = round(rule.credits * MICROS_PER_CREDIT)
        elif rule is not None and rule.fault == "fail":
            run.error = rule.error or FAILURE
        self.account.reserve(run.reserved_micros)
        others = {"twin_of": twin_of, "answered_id": answered_id}
        told = {name: request_id for name, request_id in others.items() if request_id is not None}
        self.book.write(
            "started", now, body_sha256=hashed.exact, canonical_sha256=hashed.canonical, **to_fact(run), **told
        )
        self.runs[run.request_id] = run
        self.timeline.add(run)
        heapq.heappush(self._due, (run.ends_at, run.request_id, run))
        self.stats.in_flight_max = max(self.stats.in_flight_max, len(self._due))
        self._forget_oldest()
        return run

    def _new_request_id(self) -> str:
        if self.config.seed is None:
            return secrets.token_hex(16)
        return hashlib.blake2b(f"{self.config.seed}/{self._started}".encode(), digest_size=16).hexdigest()

    def _is_cold(self, slug: str, now: float) -> bool:
        if not self.config.cold_start_seconds:
            return False
        warm_at = self._warm.get(slug)
        self._warm[slug] = now
        return warm_at is None or now - warm_at > self.config.cold_after_seconds

    def _forget_oldest(self) -> None:
        """Delete at most one run. If the oldest has not ended, it becomes the newest."""
        if len(self.runs) <= self.config.runs_max:
            return
        request_id = next(iter(self.runs))
        run = self.runs.pop(request_id)
        if run.remaining_micros is None:
            self.runs[request_id] = run
        else:
            self.timeline.remove(run)

    def last_run(self) -> Run | None:
        """The run that was started last."""
        return next(reversed(self.runs.values()), None)
