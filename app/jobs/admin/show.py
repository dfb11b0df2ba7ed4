"""All records of a job, as text for a terminal."""

from datetime import datetime

from app.core.clock import rfc3339
from app.core.commands.terminal import table
from app.core.escapes import one_line
from app.jobs.admin.schemas import JobStory

_LISTS = ("events", "attempts", "exchanges", "observations")


def shown(story: JobStory) -> str:
    """Return the fields that have a value, then the lists."""
    plain = story.model_dump(mode="json", exclude={*_LISTS, "credits"})
    plain |= {f"credits {name}": amount for name, amount in story.credits.model_dump().items()}
    fields = [(name, str(value)) for name, value in plain.items() if value not in (None, False, {})]
    parts = [
        "\n".join(f"{name:<20}{one_line(value)}" for name, value in fields),
        _list(
            "events",
            ("SEQ", "AT", "FROM", "TO", "REASON"),
            [(str(e.seq), _at(e.at), e.from_state or "-", e.to_state, e.reason) for e in story.events],
        ),
        _list(
            "attempts",
            ("ATTEMPT", "SENT", "SETTLED", "OUTCOME", "UPSTREAM ID", "WORKER"),
            [
                (str(a.attempt), _at(a.sent_at), _at(a.settled_at), a.outcome or "on the wire", a.upstream_id or "-", a.worker)
                for a in story.attempts
            ],
        ),
        _list(
            "exchanges",
            ("AT", "KIND", "ATTEMPT", "HTTP", "OUTCOME", "SECONDS", "DETAIL"),
            [
                (
                    _at(e.at), e.kind, str(e.attempt), str(e.status_code or "-"), e.outcome, f"{e.duration_seconds:.3f}",
                    e.detail or "-",
                )
                for e in story.exchanges
            ],
        ),
        _list(
            "observations",
            ("AT", "ATTEMPT", "UPSTREAM ID", "WORKER"),
            [(_at(o.at), str(o.attempt), o.upstream_id, o.worker) for o in story.observations],
        ),
    ]  # fmt: skip
    return "\n\n".join(part for part in parts if part)


def _list(name: str, heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    return f"{name}\n{table(heads, rows)}" if rows else ""


def _at(at: datetime | None) -> str:
    return rfc3339(at) or "-"
