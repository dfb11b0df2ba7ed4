"""Jobs that are valid: as many as its limits let through, with all the metadata there may be, and their cancels."""

from tests.chaos.hostile.attack import Attack, Attacker, Line, Told, submit
from tests.chaos.hostile.upstream import FLOODED


async def flood(attacker: Attacker, line: Line) -> Told:
    """Of a model that behaves badly."""
    return await submit(attacker, line, attacker.chance.choice(FLOODED))


async def same_keys(attacker: Attacker, line: Line) -> Told:
    """One of ten idempotency keys, with another body each time."""
    return await submit(attacker, line, "bad-plain", idempotency_key=f"same-{attacker.chance.randrange(10)}")


async def cancels(attacker: Attacker, line: Line) -> Told:
    """Of any of its jobs, again and again."""
    return await line.ask("POST", f"/api/v1/jobs/{attacker.some_job()}/cancel")


ATTACKS = (
    Attack("jobs.flood", flood, 2),
    Attack("jobs.same_keys", same_keys),
    Attack("jobs.cancels", cancels),
)
