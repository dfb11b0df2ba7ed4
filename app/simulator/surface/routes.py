"""Routes a request to the code that answers it, through the fault rules."""

import re
from typing import Literal

from app.simulator.book import hash_body
from app.simulator.faults import STEERED, CallKind, FaultRule, apply
from app.simulator.http.http import Reply, Request, error, html
from app.simulator.simulator import Simulator
from app.simulator.surface import history, reads
from app.simulator.surface.control import control
from app.simulator.surface.submits import submit, submit_and_wait

_RUN = re.compile(r"/v([12])/requests/([^/]+)(/status)?")
_MODEL = re.compile(r"/v([12])/(?!requests$)([A-Za-z0-9][A-Za-z0-9._-]*)")
_HISTORY = re.compile(r"/inference-request/request-history(?:/([^/]+))?")
_MODELS = "/inference-model-information/list"
_CREDITS = "/v1/get-user-credits"
_FILES = "/files/"
_CONTROL = "/_simulator/"


def find_target(path: str) -> tuple[CallKind | Literal["control"], str] | None:
    """The kind and the name of what a path refers to, or None."""
    found = _RUN.fullmatch(path)
    if found is not None:
        version, request_id, is_status = found.groups()
        if not is_status:
            return "result", request_id
        return ("status", request_id) if version == "2" else None
    if path == _CREDITS:
        return "credits", ""
    found = _MODEL.fullmatch(path)
    if found is not None:
        return ("submit" if found[1] == "2" else "sync"), found[2]
    if path.startswith(_FILES):
        return "file", path[len(_FILES) :]
    if path.startswith(_CONTROL):
        return "control", path[len(_CONTROL) :]
    found = _HISTORY.fullmatch(path)
    if found is not None:
        return "history", found[1] or ""
    return ("models", "") if path == _MODELS else None


def answer(sim: Simulator, request: Request) -> Reply:
    """Return the reply to a request."""
    target = find_target(request.path)
    if target is None:
        return error(400, "Bad request")
    kind, subject = target
    if kind == "control":
        return control(sim, request, subject)
    if kind == "credits" and request.method == "POST":
        kind, subject = "sync", "get-user-credits"
    if request.method != ("POST" if kind in ("submit", "sync") else "GET"):
        return html(405)
    sim.stats.count(kind, sim.now())
    rule = _pick(sim, request, kind, subject) if sim.faults.rules else None
    if rule is None:
        return _make(sim, request, kind, subject, None)
    if rule.fault in STEERED:
        return _make(sim, request, kind, subject, rule)
    return apply(rule, lambda: _make(sim, request, kind, subject, None))


def _pick(sim: Simulator, request: Request, kind: CallKind, subject: str) -> FaultRule | None:
    """Return the rule that fires, or None. It is already in the book."""
    slug: str | None = subject
    request_id, body = None, request.body
    if kind in ("status", "result", "file") or (kind == "history" and subject):
        run = sim.runs.get(subject[:32])
        slug, request_id, body = (run.slug, run.request_id, run.body) if run is not None else (None, subject, b"")
    rule = sim.faults.pick(kind, slug, body)
    if rule is not None:
        members = {"fault": rule.fault, "kind": kind, "slug": slug, "request_id": request_id, "key": request.key[-4:]}
        if kind in ("submit", "sync"):
            hashed = hash_body(request.body)
            members |= {"body_sha256": hashed.exact, "canonical_sha256": hashed.canonical}
        sim.book.write("fault", sim.now(), **members)
    return rule


def _make(sim: Simulator, request: Request, kind: CallKind, subject: str, rule: FaultRule | None) -> Reply:
    base = sim.config.base_url or f"http://{request.host}"
    match kind:
        case "status" | "result":
            return reads.show_run(sim, request, subject, base, rule, with_output=kind == "result")
        case "submit":
            return submit(sim, request, subject, base, rule)
        case "sync":
            return submit_and_wait(sim, request, subject, base, rule)
        case "file":
            return reads.show_file(sim, subject)
        case "credits":
            return reads.show_credits(sim, request)
        case "history" if subject:
            return history.show_history(sim, request, subject, base)
        case "history":
            return history.list_history(sim, request, base)
        case "models":
            return reads.list_models(sim)
