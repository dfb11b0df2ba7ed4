"""The first checks of every request: the key and the rate limit."""

from datetime import UTC, datetime

from app.core.clock import rfc3339
from app.simulator.http.http import Answer, Request, error
from app.simulator.simulator import Simulator

RESET_HEADER = "x-rate-limit-reset-at-utc"


def find_refusal(sim: Simulator, request: Request, now: float, *, counts: bool) -> Answer | None:
    """Return 401 or 429, or None to continue. `counts`: whether this kind of request counts towards the rate limit."""
    if not request.key and not request.bearer:
        return error(401, "Missing x-api-key (or Authorization) header")
    if not request.key or (sim.config.api_keys and request.key not in sim.config.api_keys):
        return error(401, "Unauthorized. The API key is invalid or has expired; see the console for your keys")
    if not counts:
        return None
    until = sim.limit.refused_until(now)
    if sim.config.rpm > 0:
        sim.stats.count_limited(now, refused=until is not None)
    if until is None:
        return None
    told = ((RESET_HEADER, show_instant(until)),) if sim.config.rate_tells_reset else ()
    return error(429, "Rate limit exceeded. Please slow down", told)


def show_instant(seconds: float) -> str:
    """Convert seconds since 1970 to RFC 3339, UTC."""
    return rfc3339(datetime.fromtimestamp(seconds, UTC)) or ""
