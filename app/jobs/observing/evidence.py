"""Pure functions: what a 403 to a submit shows about the model."""

from hashlib import sha256

from app.core.strict_json import canonical
from app.upstream.json_members import Member, NotAnObject, bytes_of, members, text_of
from app.upstream.wire import Outcome, OutcomeKind

SEED = "seed"
"""Bodies that differ only in this member count as the same request."""


def is_forbidden(outcome: Outcome) -> bool:
    """Return whether a submit was answered with 403."""
    return outcome.kind is OutcomeKind.REJECTED and outcome.status_code == 403


def is_evidence(outcome: Outcome) -> bool:
    """Return whether it is a 403 that may concern the model: with a complete JSON object, as the upstream's errors have. The page
    of a firewall concerns only one request."""
    if not is_forbidden(outcome) or outcome.body is None:
        return False
    try:
        for _ in members(text_of(outcome.body)):
            continue
    except NotAnObject:
        return False
    return True


def body_digest(body: bytes) -> bytes:
    """Return the SHA-256 of a job's body without its seed. It is the same for equal values in another order or spelling."""
    try:
        return sha256(canonical("", _without_seed(body))).digest()
    except (ValueError, RecursionError):  # too deep or too large to parse: use all bytes
        return sha256(body).digest()


def _without_seed(body: bytes) -> bytes:
    text = text_of(body)
    kept: list[Member] = [member for member in members(text) if member.key != SEED]
    return bytes_of("{" + ",".join(text[one.start : one.end] for one in kept) + "}")
