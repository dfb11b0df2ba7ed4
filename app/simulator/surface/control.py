"""`/_simulator/…`: controls the simulator, for tests and operators. It needs no key, and no fault spoils it.

GET book?after=N   the book's lines with a sequence number above N
GET stats          counts of what was received
GET, PATCH config  the settings; PATCH changes those that may change while it runs
GET, POST, PUT, DELETE faults   the rules in force: show, add, replace all, delete all
"""

import dataclasses
from typing import Any
from urllib.parse import parse_qs

import orjson

from app.simulator.config import ConfigError, change_config
from app.simulator.faults import FaultError, read_rules
from app.simulator.http.http import Answer, Request, error
from app.simulator.simulator import Simulator


def control(sim: Simulator, request: Request, name: str) -> Answer:
    """Answer one call to `/_simulator/{name}`."""
    sim.settle(sim.now())
    try:
        match request.method, name:
            case "GET", "book":
                after = parse_qs(request.query).get("after", ["0"])[0]
                return Answer(200, sim.book.raw(int(after)), b"application/x-ndjson")
            case "GET", "stats":
                figures = sim.stats.show() | {"in_flight": sim.in_flight, "runs": len(sim.runs), "facts": len(sim.book)}
                return _json(figures)
            case "GET", "config":
                return _json(_settings(sim))
            case "PATCH", "config":
                changes = orjson.loads(request.body)
                if not isinstance(changes, dict):
                    return error(400, "expected a JSON object")
                change_config(sim.config, changes)
                return _json(_settings(sim))
            case "POST" | "PUT", "faults":
                rules = read_rules(orjson.loads(request.body))
                sim.faults.rules = [*(sim.faults.rules if request.method == "POST" else ()), *rules]
            case "DELETE", "faults":
                sim.faults.rules = []
            case "GET", "faults":
                pass
            case _:
                return error(404, "no such control; known are book, stats, config and faults")
    except (ConfigError, FaultError, ValueError) as problem:
        return error(400, str(problem))
    return _json({"rules": [rule.model_dump(mode="json", exclude_defaults=True) for rule in sim.faults.rules]})


def _json(value: Any) -> Answer:
    return Answer(200, orjson.dumps(value))


def _settings(sim: Simulator) -> dict[str, Any]:
    settings = dataclasses.asdict(sim.config)
    settings["book_path"] = str(sim.config.book_path or "")
    settings["api_keys"] = [f"…{key[-4:]}" for key in sim.config.api_keys]
    return settings
