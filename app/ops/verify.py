"""Prove on live data the part of the guarantees that the database can show, and name the other part."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.core.commands.terminal import found
from app.core.database.session import ReadSession
from app.core.escapes import one_line
from app.ops.grants import OF_DATABASE
from app.ops.invariants import OF_JOBS, Invariant
from app.ops.money import OF_MONEY
from app.ops.queue_invariants import OF_QUEUES
from app.ops.webhook_invariants import OF_WEBHOOKS

STATEMENT_SECONDS = 1800.0
"""The longest time for one invariant."""

INVARIANTS = (*OF_JOBS, *OF_QUEUES, *OF_WEBHOOKS, *OF_MONEY, *OF_DATABASE)


@dataclass(frozen=True, slots=True)
class NotShown:
    """A part of a guarantee that no row can show, and what shows it."""

    guarantee: int
    what: str
    shown_by: str


NOT_SHOWN = (
    NotShown(1, "an answered job that is gone without a trace", "tests that kill all processes"),
    NotShown(2, "how often the upstream received a job", "the upstream's own request history"),
    NotShown(
        5, "whether a lost result could have been fetched in time", "`ops.job_events` of jobs that end result_lost"
    ),
    NotShown(6, "independence of Redis", "tests that empty and stop Redis"),
    NotShown(7, "what receivers got", "their logs, by `webhook-id`"),
    NotShown(8, "whether an HTTP answer shows another tenant's job", "tests of every route"),
    NotShown(9, "whether a worker that was paused sends", "tests that pause and resume workers"),
    NotShown(10, "the rate of requests at the upstream", "the upstream's own count"),
    NotShown(11, "answers while Postgres is unavailable", "tests that stop Postgres"),
)


@dataclass(frozen=True, slots=True)
class Proof:
    """The result of one invariant: how many things were checked, how many are wrong, and the first ten ids of wrong ones."""

    invariant: Invariant
    checked: int
    wrong: int
    examples: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether nothing is wrong."""
        return self.wrong == 0

    @property
    def line(self) -> str:
        """One line for people."""
        claim = self.invariant.claim.format(checked=f"{self.checked:,}")
        if self.holds:
            return claim
        more = ", …" if self.wrong > len(self.examples) else ""
        return f"violated: {claim}: {self.wrong:,} wrong: {', '.join(self.examples)}{more}"


async def prove(session: ReadSession, *, at: datetime | None = None) -> AsyncIterator[Proof]:
    """Yield one proof after another. Each statement sees one snapshot, and locks nothing. `at`: the last write to a copy of a
    database that no process uses."""
    for invariant in INVARIANTS:
        counted = await invariant.count(session, at=at)
        yield Proof(invariant, counted.checked, counted.wrong, tuple(counted.examples))


async def prove_all(
    session: ReadSession, *, tell: Callable[[str], None], at: datetime | None = None
) -> tuple[Proof, ...]:
    """Return all of `prove`. `tell` gets each line as soon as it is known."""
    proofs = []
    async for proof in prove(session, at=at):
        proofs.append(proof)
        tell(found("ok" if proof.holds else "WRONG", proof.invariant.name, one_line(proof.line)))
    return tuple(proofs)


def wrong_of(proofs: Sequence[Proof]) -> list[str]:
    """Return the names of those that do not hold."""
    return [proof.invariant.name for proof in proofs if not proof.holds]


def summary(proofs: Sequence[Proof]) -> str:
    """Return the lines after the proofs: what is not shown, and how many hold."""
    wrong = wrong_of(proofs)
    lines = [
        found("-", f"guarantee {one.guarantee}", f"not checked here: {one.what}; checked by {one.shown_by}")
        for one in NOT_SHOWN
    ]
    lines.append(
        f"{len(wrong)} of {len(proofs)} do not hold: {', '.join(wrong)}" if wrong else f"all {len(proofs)} hold"
    )
    return "\n".join(lines)


def as_value(proofs: Sequence[Proof]) -> dict[str, Any]:
    """Return them for JSON."""
    return {
        "holds": not wrong_of(proofs),
        "invariants": [
            {
                "name": proof.invariant.name,
                "guarantee": proof.invariant.guarantee,
                "claim": proof.invariant.claim.format(checked=proof.checked),
                "holds": proof.holds,
                "checked": proof.checked,
                "wrong": proof.wrong,
                "examples": list(proof.examples),
            }
            for proof in proofs
        ],
        "not_shown": [{"guarantee": one.guarantee, "what": one.what, "shown_by": one.shown_by} for one in NOT_SHOWN],
    }
