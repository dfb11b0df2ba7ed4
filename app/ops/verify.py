"""Proves on live data what the database can show of the guarantees; names what it cannot."""

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
"""The longest an invariant may take."""

INVARIANTS = (*OF_JOBS, *OF_QUEUES, *OF_WEBHOOKS, *OF_MONEY, *OF_DATABASE)


@dataclass(frozen=True, slots=True)
class NotShown:
    """What of a guarantee no row can tell, and what does."""

    guarantee: int
    what: str
    shown_by: str


NOT_SHOWN = (
    NotShown(1, "that what was answered and is gone without a trace was ever there", "tests that kill everything"),
    NotShown(2, "how often the upstream itself saw a job", "the upstream's own request history"),
    NotShown(
        5, "that a lost result could not have been fetched in time", "`ops.job_events` of jobs that end result_lost"
    ),
    NotShown(6, "that nothing depends on Redis", "tests that empty and stop it"),
    NotShown(7, "what receivers have seen", "their own logs, by `webhook-id`"),
    NotShown(8, "that no answer over HTTP shows another tenant's job", "tests of every route"),
    NotShown(9, "that a worker which wakes up sends nothing", "tests that stop and wake workers"),
    NotShown(10, "the rate that the upstream saw", "the upstream's own count"),
    NotShown(11, "how we answer while Postgres is away", "tests that stop it"),
)


@dataclass(frozen=True, slots=True)
class Proof:
    """What came of one invariant: how much was looked at, how much of it is wrong, and the first ten ids of that."""

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
        """For people."""
        claim = self.invariant.claim.format(checked=f"{self.checked:,}")
        if self.holds:
            return claim
        more = ", …" if self.wrong > len(self.examples) else ""
        return f"not so: {claim}: {self.wrong:,} wrong: {', '.join(self.examples)}{more}"


async def prove(session: ReadSession, *, at: datetime | None = None) -> AsyncIterator[Proof]:
    """One proof after the other; each statement sees one snapshot, and locks nothing. `at`: when the last word was written
    into a copy, on which nobody works any more."""
    for invariant in INVARIANTS:
        counted = await invariant.count(session, at=at)
        yield Proof(invariant, counted.checked, counted.wrong, tuple(counted.examples))


async def prove_all(
    session: ReadSession, *, tell: Callable[[str], None], at: datetime | None = None
) -> tuple[Proof, ...]:
    """All of `prove`; each line is told as soon as it is known."""
    proofs = []
    async for proof in prove(session, at=at):
        proofs.append(proof)
        tell(found("ok" if proof.holds else "WRONG", proof.invariant.name, one_line(proof.line)))
    return tuple(proofs)


def wrong_of(proofs: Sequence[Proof]) -> list[str]:
    """The names of those that do not hold."""
    return [proof.invariant.name for proof in proofs if not proof.holds]


def summary(proofs: Sequence[Proof]) -> str:
    """What is told after the proofs: what no row can show, and how many hold."""
    wrong = wrong_of(proofs)
    lines = [
        found("-", f"guarantee {one.guarantee}", f"not shown here: {one.what}; {one.shown_by}") for one in NOT_SHOWN
    ]
    lines.append(
        f"{len(wrong)} of {len(proofs)} do not hold: {', '.join(wrong)}" if wrong else f"all {len(proofs)} hold"
    )
    return "\n".join(lines)


def as_value(proofs: Sequence[Proof]) -> dict[str, Any]:
    """The same for programs."""
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
