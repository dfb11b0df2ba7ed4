"""The result of a probe, for people and for programs. Neither has a value of an answer."""

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from app.core.clock import rfc3339
from app.core.commands.terminal import table
from app.core.credits import show_credits
from app.core.escapes import one_line
from app.probe.models import ProbeOutcome
from app.probe.seen import Seen
from app.probe.shapes import show_shape

SHAPE_CHARACTERS_MAX = 400


@dataclass(slots=True)
class Probed:
    """What came of a probe. notes: what an operator should know, one line each. sent_at: None if nothing was sent.
    watched: whether all was seen; otherwise `notes` say why not."""

    id: UUID
    model: str
    max_cost_micro: int
    seen: Seen
    outcome: ProbeOutcome = ProbeOutcome.UNKNOWN
    upstream_id: str | None = None
    sent_at: datetime | None = None
    cost_micro: int | None = None
    watched: bool = False
    notes: list[str] = field(default_factory=list)

    @property
    def exceeded(self) -> bool:
        """Whether it cost more than allowed."""
        return (self.cost_micro or 0) > self.max_cost_micro

    @property
    def ok(self) -> bool:
        """Whether the job completed, and all was seen."""
        return self.outcome is ProbeOutcome.COMPLETED and self.watched


def value_of(probed: Probed) -> dict[str, Any]:
    """Return all of it for --json."""
    cost = probed.cost_micro
    return {
        "ok": probed.ok,
        "probe": str(probed.id),
        "model": probed.model,
        "outcome": str(probed.outcome),
        "upstream_id": probed.upstream_id,
        "sent_at": rfc3339(probed.sent_at),
        "max_cost": show_credits(probed.max_cost_micro),
        "cost": None if cost is None else show_credits(cost),
        "exceeded": probed.exceeded,
        "notes": probed.notes,
        "answers": [asdict(one) for one in probed.seen.answers],
        "limit_headers": probed.seen.limits,
        "parameters_added": probed.seen.history.added,
        "facts": {str(name): value for name, value in sorted(probed.seen.facts().items())},
    }


def lines_of(probed: Probed) -> str:
    """Return all of it as lines."""
    lines = []
    if probed.seen.answers:
        rows = [
            [
                one.call,
                one.of,
                str(one.code or one.failure or "-"),
                str(one.count),
                show_shape(one.shape)[:SHAPE_CHARACTERS_MAX],
            ]
            for one in probed.seen.answers
        ]
        lines.append(table(("CALL", "STATE", "CODE", "TIMES", "SHAPE"), rows))
    facts = sorted(probed.seen.facts().items())
    if facts:
        lines.append(table(("LEARNED", "VALUE"), [[str(name), show_shape(value)] for name, value in facts]))
    lines += [one_line(f"{name}: {', '.join(values)}") for name, values in sorted(probed.seen.limits.items())]
    lines += [one_line(note) for note in probed.notes]
    if probed.exceeded:
        lines.append(f"it cost more than --max-cost {show_credits(probed.max_cost_micro)} allows")
    cost = "its cost is unknown" if probed.cost_micro is None else f"it cost {show_credits(probed.cost_micro)} credits"
    if probed.outcome in (ProbeOutcome.REFUSED, ProbeOutcome.NOT_SENT):
        cost = "nothing was charged"
    lines.append(one_line(f"probe {probed.id} of {probed.model}: {probed.outcome}; {cost}"))
    return "\n".join(lines)
