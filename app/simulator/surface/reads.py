"""The calls that only read: status, result, credits, files and the list of models."""

import re

import orjson

from app.simulator import bodies, parameters
from app.simulator.config import MICROS_PER_CREDIT
from app.simulator.faults import FaultRule
from app.simulator.gate import find_refusal
from app.simulator.http.http import Answer, Request, error
from app.simulator.profiles import catalogue
from app.simulator.simulator import Simulator

_FILE = re.compile(r"([0-9a-f]{32})(?:_([0-9]{1,3}))?\.([a-z0-9]+)")


def show_run(
    sim: Simulator, request: Request, request_id: str, base: str, rule: FaultRule | None, *, with_output: bool
) -> Answer:
    """The status or result of a run. FAILED is 422, unknown and expired are 404. `rule`: a steered fault."""
    now = sim.now()
    refusal = find_refusal(sim, request, now, limit=sim.limit if sim.config.rate_counts_polls else None)
    if refusal is not None:
        return refusal
    run = sim.find_run(request_id, now)
    if run is None or now - run.submitted_at >= sim.config.retention_seconds:
        return _not_found(request, request_id)
    state = run.state(now)
    if rule is not None:
        if rule.fault == "state":
            state = rule.state
        elif rule.fault == "flap" and state in ("QUEUED", "PROCESSING"):
            state = rule.next_state(request_id)
        elif rule.fault == "not_found_until" and now - run.submitted_at < rule.lasts(1.0):
            return _not_found(request, request_id)
    if with_output and state == "COMPLETED":
        return Answer(200, bodies.result(run, base, sim.config.output_bytes))
    return Answer(422 if state == "FAILED" else 200, bodies.status(run, state, base))


def _not_found(request: Request, request_id: str) -> Answer:
    if request.path.startswith("/v1/"):
        return error(404, f"Output for this request ID {request_id} Not Found")
    return error(404, f"Request {request_id} not found")


def show_credits(sim: Simulator, request: Request) -> Answer:
    """The account's balance, in credits. This call does not count towards the rate limit."""
    now = sim.now()
    refusal = find_refusal(sim, request, now, limit=None)
    if refusal is not None:
        return refusal
    sim.settle(now)
    config = sim.config
    balance = {
        "credits": config.credits_micros / MICROS_PER_CREDIT,
        "free-credits": config.free_credits_micros / MICROS_PER_CREDIT,
    }
    return Answer(200, orjson.dumps(balance))


def show_file(sim: Simulator, name: str) -> Answer:
    """The bytes of an output, until they are deleted. Needs no key, only the name."""
    now = sim.now()
    found = _FILE.fullmatch(name)
    run = sim.find_run(found[1], now) if found else None
    if found is None or run is None or run.kind not in bodies.FILES or run.state(now) != "COMPLETED":
        return error(404, "File not found")
    extension, content_type, _ = bodies.FILES[run.kind]
    number = int(found[2] or 1)
    expired = now - run.ends_at >= sim.config.output_retention_seconds
    if extension != found[3] or not 1 <= number <= run.outputs or expired:
        return error(404, "File not found")
    return Answer(200, bodies.file_content(run, sim.config.output_bytes, number), content_type.encode())


def list_models(sim: Simulator) -> Answer:
    """The public list of models. Needs no key."""
    listed = [
        {
            "slug": profile.slug,
            "title": profile.slug,
            "type": profile.modality,
            "is_depreciated": profile.slug in sim.config.retired_slugs,
            "parameters_schema": [
                {
                    "name": parameter.name,
                    "type": parameter.type,
                    "default": parameter.default,
                    "required": parameter.required,
                    "minimum": parameter.minimum,
                    "maximum": parameter.maximum,
                    "allowed": list(parameter.allowed),
                }
                for parameter in parameters.SCHEMAS.get(profile.slug, ())
            ],
        }
        for profile in catalogue().values()
    ]
    return Answer(200, orjson.dumps({"Inference Segmind Model Information List With Details": listed}))
