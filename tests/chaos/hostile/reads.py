"""Reads that cost more than they look: searches that find nothing, long lists, parallel waits."""

import orjson

from tests.chaos.hostile.attack import Attack, Attacker, Line, Told, submit


async def searches(attacker: Attacker, line: Line) -> Told:
    """For metadata that none of its many jobs has."""
    return await line.ask("GET", f"/api/v1/jobs?metadata.k=nope{attacker.chance.randrange(10**6)}&limit=200")


async def lists(attacker: Attacker, line: Line) -> Told:
    """Two hundred jobs at a time."""
    told = await line.ask("GET", f"/api/v1/jobs?limit=200&status={attacker.chance.choice(('FAILED', 'QUEUED'))}")
    if told == 200 and not attacker.jobs:
        attacker.jobs += [job["id"] for job in orjson.loads(line.body)["items"]]
    return told


async def waits(attacker: Attacker, line: Line) -> Told:
    """For the end of a job of its own, up to a minute; now and then of a new one, which does not end soon."""
    if attacker.chance.random() < 0.2:
        return await submit(attacker, line, "bad-silent", prefer="wait=60")
    return await line.ask("GET", f"/api/v1/jobs/{attacker.some_job()}?wait=60")


async def polls(attacker: Attacker, line: Line) -> Told:
    """As fast as it goes."""
    return await line.ask("GET", f"/v2/requests/{attacker.some_job()}/status")


ATTACKS = (
    Attack("reads.searches", searches, 20),
    Attack("reads.lists", lists, 2),
    Attack("reads.waits", waits, 40),
    Attack("reads.polls", polls, 2),
)
