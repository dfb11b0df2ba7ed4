"""Check the body of a `POST /jobs`, and report all its faults together."""

from typing import Any

from app.api.jobs.schemas import JobIn
from app.core.faults import Faults
from app.core.near import did_you_mean
from app.core.off_loop import run_sized
from app.http_client.guard import Guard
from app.jobs.models import OnUnknown, Surface
from app.jobs.submit.service import JobRequest
from app.tenants.auth import Principal
from app.upstream.json_members import member
from app.web.parse_budget import cost_at_least
from app.web.requests import (
    checked_amount,
    checked_deadline,
    checked_instant,
    checked_metadata,
    checked_priority,
    malformed,
    problem,
)
from app.webhooks.emit import JobWebhook
from app.webhooks.schemas import checked_job_webhook

FIELDS = tuple(JobIn.model_fields)
UNKNOWN_MAX = 20
"""Unknown fields that are reported by name."""


def _checked_on_unknown(value: object, where: str) -> OnUnknown:
    if not isinstance(value, str) or value not in tuple(OnUnknown):
        raise malformed(where, 'expected "hold" or "resubmit"')
    return OnUnknown(value)


_CHECKS = {
    "metadata": checked_metadata,
    "priority": checked_priority,
    "deadline_seconds": checked_deadline,
    "not_before": checked_instant,
    "max_price": checked_amount,
    "on_unknown": _checked_on_unknown,
}


def checked_job(given: dict[str, Any], faults: Faults) -> dict[str, Any]:
    """Returns the optional fields of a `POST /jobs` body as arguments of `JobRequest`, without null ones. Adds the faults of all
    fields to `faults`, except those inside `input`. Raises Malformed if there are more than UNKNOWN_MAX unknown fields."""
    unknown = [name for name in given if name not in JobIn.model_fields]
    for name in unknown[:UNKNOWN_MAX]:
        faults.problems.append(problem(f"$.{name[:100]}", f"unknown field{did_you_mean(name, FIELDS)}"))
    if len(unknown) > UNKNOWN_MAX:
        faults.problems.append(problem("$", f"{len(unknown) - UNKNOWN_MAX} more unknown fields"))
        faults.check()  # too many: do not check the rest
    if not isinstance(given.get("model"), str):
        faults.problems.append(problem("$.model", 'expected the slug of a model, such as "motionctrl-svd"'))
    if not isinstance(given.get("input"), dict):
        expected = 'expected a JSON object with the model\'s parameters, such as {"prompt": "a red fox"}'
        faults.problems.append(problem("$.input", expected))
    options = {}
    for name, check in _CHECKS.items():
        if given.get(name) is not None:
            with faults:
                options[name] = check(given[name], f"$.{name}")
    return options


async def asked_job(
    principal: Principal,
    given: dict[str, Any],
    body: bytes,
    key: str | None,
    guard: Guard,
    faults: Faults | None = None,
) -> JobRequest:
    """Returns the submit of a `POST /jobs` body. `faults`: those of its headers. Raises Malformed with all faults if `model` or
    `input` is missing or has the wrong type. Other faults are in the result, to be reported with those of the parameters."""
    faults = faults or Faults()
    options = checked_job(given, faults)
    webhook: JobWebhook | None = None
    with faults:
        webhook = checked_job_webhook(
            given.get("webhook_url"),
            given.get("webhook_events"),
            guard,
            where=("$.webhook_url", "$.webhook_events"),
        )
    model, parameters = given.get("model"), given.get("input")
    if not isinstance(model, str) or not isinstance(parameters, dict):
        faults.check()
        raise AssertionError("both are there where nothing is wrong")
    raw = await run_sized(cost_at_least(body), member, body, "input")
    assert raw is not None
    return JobRequest(
        principal=principal,
        surface=Surface.NATIVE,
        model=model,
        body=raw,
        parameters=parameters,
        idempotency_key=key,
        webhook=webhook,
        faults=tuple(faults.problems),
        **options,
    )
