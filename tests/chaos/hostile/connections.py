"""Requests that never become whole, and answers that nobody reads."""

import asyncio

from tests.chaos.hostile.attack import Attack, Attacker, Line, Told, hold

HOLD_SECONDS = 90.0
REST_SECONDS = 20.0
"""Before the next half body, which would otherwise leave no byte a second for anything else."""
HALF_BODY = b'{"prompt":"' + b"x" * 4_000_000


async def idle(attacker: Attacker, line: Line) -> Told:
    """Connects, and says nothing."""
    return await hold(attacker, b"", seconds=HOLD_SECONDS)


async def half_heads(attacker: Attacker, line: Line) -> Told:
    """Half a head, then silence."""
    return await hold(attacker, attacker.head("POST", "/v2/bad-plain", {}, 100)[:-20], seconds=HOLD_SECONDS)


async def dripping_heads(attacker: Attacker, line: Line) -> Told:
    """A header that grows by a byte a second."""
    begun = attacker.head("POST", "/v2/bad-plain", {}, 100)[:-2] + b"x-slow: "
    return await hold(attacker, begun, seconds=HOLD_SECONDS, drip=b"x")


async def dripping_bodies(attacker: Attacker, line: Line) -> Told:
    """A body of which a byte a second comes."""
    begun = attacker.head("POST", "/v2/bad-plain", {}, 1_000_000) + b'{"prompt":"'
    return await hold(attacker, begun, seconds=HOLD_SECONDS, drip=b"x")


async def half_bodies(attacker: Attacker, line: Line) -> Told:
    """4 MB of a body of 10 MB, then silence."""
    begun = attacker.head("POST", "/v2/bad-plain", {}, 10_000_000) + HALF_BODY
    told = await hold(attacker, begun, seconds=HOLD_SECONDS)
    await asyncio.sleep(REST_SECONDS)
    return told


async def deaf(attacker: Attacker, line: Line) -> Told:
    """Asks for a hundred long lists, one behind the other, and reads none."""
    request = attacker.head("GET", "/api/v1/jobs?limit=200", {}, None)
    return await hold(attacker, request * 100, seconds=HOLD_SECONDS, reads=False)


ATTACKS = (
    Attack("connections.idle", idle, 50),
    Attack("connections.half_heads", half_heads, 100),
    Attack("connections.dripping_heads", dripping_heads, 30),
    Attack("connections.dripping_bodies", dripping_bodies, 50),
    Attack("connections.half_bodies", half_bodies, 10),
    Attack("connections.deaf", deaf, 5),
)
