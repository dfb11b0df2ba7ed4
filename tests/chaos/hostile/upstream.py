"""The hostile upstream: what it does to jobs of the hostile tenant, and to no others.

It has models of its own, each of which has another fault; and one model that the healthy tenant uses as well, where the
fault comes with a text in the input.
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from tests.chaos.hostile.attack import Attack, Attacker, Do, Line, Told, submit

COMPANY_KEY: Final = "simulator"
"""The company's key at a stack's simulator."""
WORDS: Final = f"invalid api key {COMPANY_KEY}: \x1b[2J\x1b]0;pwn\x07\x9b31m\r\nevents  forged"
PRICE: Final = 0.1
"""What a job of each of them holds, in credits."""
REST_SECONDS: Final = 1.0

Rule = Mapping[str, Any]

BAD: Final[Mapping[str, tuple[Rule, ...]]] = {
    # results that cannot be read
    "numbers": ({"match": "result", "fault": "pad"},),
    "gzip": ({"match": "result", "fault": "gzip"},),
    "huge": ({"match": "result", "fault": "pad", "padding": "text", "bytes": 40_000_000},),
    "html": ({"match": "result", "fault": "answer", "status": 200, "html": True},),
    "cut": ({"match": "result", "fault": "wrong_json"},),
    # submits that are refused by whatever stands before the upstream
    "page-403": ({"match": "submit", "fault": "answer", "status": 403, "html": True},),
    "json-403": ({"match": "submit", "fault": "answer", "status": 403, "error": "Forbidden"},),
    # trouble that is theirs alone
    "500": ({"match": "status", "fault": "answer", "status": 500, "probability": 0.9},),
    "reset": ({"match": "status", "fault": "reset", "probability": 0.9},),
    "silent": ({"match": "status", "fault": "hang", "probability": 0.8},),
    "slow": ({"match": "status", "fault": "delay", "seconds": 10},),
    "mute": ({"match": "submit", "fault": "hang"},),
    # what they say, and what they cost
    "words": ({"match": "submit", "fault": "fail", "error": WORDS},),
    "refused-words": ({"match": "submit", "fault": "answer", "status": 400, "error": WORDS},),
    "dear": ({"match": "submit", "fault": "dear", "credits": 9 * PRICE},),
    "plain": (),
}
SHARED: Final = ("gzip", "html", "cut", "page-403", "json-403", "words", "refused-words", "dear")
"""Those that happen on the shared model, too."""
SHARED_MODEL: Final = "shared-model"
RARE: Final = {"huge": 10.0, "mute": 15.0}
"""Seconds between two of them: a result of 40 MB, and a submit that stays unknown for an hour."""
MODELS: Final = tuple(f"bad-{name}" for name in BAD)
FLOODED: Final = tuple(f"bad-{name}" for name in BAD if name not in RARE)


def rules() -> list[dict[str, Any]]:
    """The simulator's fault rules."""
    own = [{**rule, "slug": f"bad-{name}"} for name, given in BAD.items() for rule in given]
    shared = [{**rule, "slug": SHARED_MODEL, "contains": marker(name)} for name in SHARED for rule in BAD[name]]
    return own + shared


def marker(name: str) -> str:
    """The text of an input to which that happens."""
    return f"<{name}>"


def _submit(model: str, name: str) -> Do:
    async def do(attacker: Attacker, line: Line) -> Told:
        told = await submit(attacker, line, model, prompt=marker(name))
        await asyncio.sleep(RARE.get(name, REST_SECONDS) if told == 202 else 0.2)
        return told

    return do


ATTACKS = (
    *(Attack(f"upstream.{name}", _submit(f"bad-{name}", name)) for name in BAD if BAD[name]),
    *(Attack(f"shared.{name}", _submit(SHARED_MODEL, name)) for name in SHARED),
)
