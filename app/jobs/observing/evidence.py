"""What a 403 to a submit tells beside the failure of its job: pure."""

from hashlib import sha256

from app.core.strict_json import canonical
from app.upstream.json_members import Member, NotAnObject, bytes_of, members, text_of
from app.upstream.wire import Outcome, OutcomeKind

SEED = "seed"
"""Bodies that differ in nothing else are one request, sent again."""


def is_forbidden(outcome: Outcome) -> bool:
    """Whether a submit was answered 403."""
    return outcome.kind is OutcomeKind.REJECTED and outcome.status_code == 403


def is_evidence(outcome: Outcome) -> bool:
    """Whether that 403 may be about the model: its body is a whole JSON object, as the upstream's own errors are. A page
    of a firewall in between is about one request."""
    if not is_forbidden(outcome) or outcome.body is None:
        return False
    try:
        for _ in members(text_of(outcome.body)):
            continue
    except NotAnObject:
        return False
    return True


def body_digest(body: bytes) -> bytes:
    """SHA-256 of a job's body without its seed, the same for equal values in another order or spelling."""
    try:
        return sha256(canonical("", _without_seed(body))).digest()
    except (ValueError, RecursionError):  # too large to be looked into: then it is what it is
        return sha256(body).digest()


def _without_seed(body: bytes) -> bytes:
    text = text_of(body)
    kept: list[Member] = [one for one in members(text) if one.key != SEED]
    return bytes_of("{" + ",".join(text[one.start : one.end] for one in kept) + "}")
