"""POST /v2/{slug} and POST /v1/{slug}: refuses a submit or begins a run. v1 waits for the end of the run."""

from functools import partial
from typing import Any

import orjson

from app.simulator import bodies, parameters
from app.simulator.book import BodyHash, hash_body, hash_object
from app.simulator.config import MICROS_PER_CREDIT
from app.simulator.faults import FaultRule
from app.simulator.gate import RESET_HEADER, find_refusal, tell_instant
from app.simulator.http.http import Answer, Later, Reply, Request, error, html
from app.simulator.http.json_text import MalformedJsonError, plain
from app.simulator.profiles import ModelProfile, find_profile, refused_status
from app.simulator.runs import Run, reservation_micros
from app.simulator.simulator import Simulator

_TIMER_SLACK_SECONDS = 0.002
"""A timer may fire this much early."""
_SLUG_REFUSALS = {
    403: "Your account is not permitted to use this model",
    404: "Model information not found",
    406: "A parameter value was rejected before the model ran",
    410: "This model has been retired and is no longer available",
}


def submit(sim: Simulator, request: Request, slug: str, base: str, rule: FaultRule | None) -> Reply:
    """The five keys of an accepted submit, or a refusal. `rule`: a steered fault."""
    begun = _begin(sim, request, slug, no_credits_status=402, rule=rule)
    return begun if isinstance(begun, Answer) else Answer(200, bodies.submitted(begun.request_id, base))


def submit_and_wait(sim: Simulator, request: Request, slug: str, base: str, rule: FaultRule | None) -> Reply:
    """The media bytes or JSON of a run after its end, 504 if that takes too long, or a refusal."""
    begun = _begin(sim, request, slug, no_credits_status=406, rule=rule)
    if isinstance(begun, Answer):
        return begun
    limit = sim.config.sync_limit_seconds
    wait = begun.ends_at - sim.now()
    if wait > limit:
        return Later(limit, lambda: html(504))
    return Later(wait + _TIMER_SLACK_SECONDS, lambda: _ended(sim, begun))


def _begin(
    sim: Simulator, request: Request, slug: str, *, no_credits_status: int, rule: FaultRule | None
) -> Run | Answer:
    """The run that the answer names, or the refusal. What has begun is in the book, as is the refusal."""
    now = sim.now()
    sim.settle(now)
    checked = _check(sim, request, slug, now, no_credits_status)
    if isinstance(checked, Answer):
        sim.book.write(
            "refused",
            now,
            slug=slug,
            status=checked.status,
            key=request.key[-4:],
            body_sha256=hash_body(request.body).exact,
        )
        return checked
    profile, hashed, invalid = checked
    fault = None if rule is None else rule.fault
    repeated = sim.named.get(profile.slug) if fault == "repeat_id" else None
    named = sim.last_run() if fault == "same_id" else repeated
    if named is not None and (fault == "same_id" or (rule is not None and rule.same_run)):
        return named
    begin = partial(
        sim.start, profile, now=now, body=request.body, hashed=hashed, key=request.key[-4:], invalid=invalid
    )
    run = begin(rule=rule, answered_id=None if named is None else named.request_id)
    if fault == "double_start":
        begin(twin_of=run.request_id)
    sim.named[profile.slug] = named or run
    return named or run


def _check(
    sim: Simulator, request: Request, slug: str, now: float, no_credits_status: int
) -> Answer | tuple[ModelProfile, BodyHash, str | None]:
    """The refusal; or the model, the body's hashes, and why its validation will fail after queueing."""
    refusal = find_refusal(sim, request, now, limit=sim.limit)
    if refusal is not None:
        return refusal
    if request.too_large:
        return error(413, "Request body is too large")
    read = _read(request, slug)
    if isinstance(read, Answer):
        return read
    hashed, given = read
    status = refused_status(slug, sim.config)
    profile = find_profile(slug, sim.config)
    if status is not None or profile is None:
        status = status or 404
        return error(status, _SLUG_REFUSALS[status])
    refusal = _money_refusal(sim, profile, no_credits_status)
    if refusal is not None:
        return refusal
    return profile, hashed, parameters.find_fault(slug, given)


def _read(request: Request, slug: str) -> Answer | tuple[BodyHash, dict[str, Any]]:
    """The body's hashes and its parameters if the model has a schema; or the refusal."""
    kind = request.content_type.partition(b";")[0].strip().lower()
    if kind == b"multipart/form-data":
        fields = parameters.read_form(request.content_type, request.body)
        return error(400, "Malformed form data") if fields is None else (hash_body(request.body), fields)
    if kind != b"application/json":
        return error(406, "Invalid content type")
    try:
        hashed = hash_object(request.body)
    except MalformedJsonError as problem:
        return error(400, f"Malformed JSON: {problem}")
    return hashed, plain(request.body) if slug in parameters.SCHEMAS else {}


def _money_refusal(sim: Simulator, profile: ModelProfile, status: int) -> Answer | None:
    account = sim.account
    needed = reservation_micros(profile, sim.config)
    if not account.can_reserve(needed):
        balance = account.balance_micros / MICROS_PER_CREDIT
        text = f"Insufficient credits. You have {balance} credits."
        return error(status, text if balance <= 0 else f"{text} {needed / MICROS_PER_CREDIT} credits are needed.")
    if account.over_spend_limit():
        cap = (sim.config.spend_limit_micros or 0) / MICROS_PER_CREDIT
        return error(406, f"Team spend limit reached: the monthly cap is {cap} credits")
    return None


def _ended(sim: Simulator, run: Run) -> Answer:
    now = sim.now()
    sim.settle(now)
    if run.error is not None:
        return error(400 if run.is_invalid else 500, run.error)
    headers = [
        ("x-request-id", run.request_id),
        ("x-cost", str(run.cost_micros / MICROS_PER_CREDIT)),
        ("x-remaining-credits", str((run.remaining_micros or 0) / MICROS_PER_CREDIT)),
        ("x-generation-time", str(round(run.run_seconds, 6))),
    ]
    resets_at = sim.limit.resets_at(now)
    if resets_at is not None and sim.config.rate_tells_reset:
        headers.append((RESET_HEADER, tell_instant(sim, resets_at)))
    seed = plain(run.body).get("seed")
    if isinstance(seed, int):
        headers.append(("x-seed-value", str(seed)))
    if run.kind == "echo":
        return Answer(200, bodies.echo(run), headers=tuple(headers))
    if run.kind in bodies.FILES:
        content_type = bodies.FILES[run.kind][1].encode()
        return Answer(200, bodies.file_content(run, sim.config.output_bytes), content_type, tuple(headers))
    return Answer(200, orjson.dumps(bodies.native_text(run)), headers=tuple(headers))
