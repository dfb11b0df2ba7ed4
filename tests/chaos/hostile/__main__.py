"""The hostile tenant as one process: `python -m tests.chaos.hostile ORDERS`, ended by SIGTERM.

Orders, as JSON: `host`, `port`, `key`, `seed`, `only` (families or attacks by name; none: all of them),
`requests_per_second`, `bytes_per_second`, `cpu_share`. At its end it prints what it used and what it was told, as JSON.
"""

import asyncio
import random
import signal
import sys
from collections import Counter
from typing import Any

import orjson
import uvloop

from tests.chaos.hostile.attack import Attack, Attacker, Line
from tests.chaos.hostile.families import chosen
from tests.chaos.hostile.governor import Governor


async def carry_on(attack: Attack, attacker: Attacker, told: Counter[str]) -> None:
    """One attack after the other, for good."""
    line = Line(attacker)
    try:
        while True:
            told[f"{attack.name} {await attack.do(attacker, line)}"] += 1
    finally:
        line.close()


async def run(orders: dict[str, Any]) -> dict[str, Any]:
    """Attack until SIGTERM; what was used and told."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    limits = {name: orders[name] for name in ("requests_per_second", "bytes_per_second", "cpu_share")}
    attacker = Attacker(
        orders["host"], orders["port"], orders["key"], random.Random(orders["seed"]), Governor(**limits)
    )
    told: Counter[str] = Counter()
    tasks = [
        asyncio.create_task(carry_on(attack, attacker, told))
        for attack in chosen(orders["only"])
        for _ in range(attack.at_once)
    ]
    stopping = asyncio.create_task(ended.wait())
    done, _ = await asyncio.wait((stopping, *tasks), return_when=asyncio.FIRST_COMPLETED)
    for task in done - {stopping}:
        task.result()  # an attack never ends: it broke
    figures = attacker.governor.figures()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return {"used": figures, "told": dict(told)}


if __name__ == "__main__":
    sys.stdout.buffer.write(orjson.dumps(uvloop.run(run(orjson.loads(sys.argv[1])))))
