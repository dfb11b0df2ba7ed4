"""The first checks of every request: the key and the rate limit. And the upstream's clock."""

from datetime import UTC, datetime

from app.core.clock import rfc3339
from app.simulator.account import RateLimit
from app.simulator.http.http import Answer, Request, error
from app.simulator.simulator import Simulator

RESET_HEADER = "x-rate-limit-reset-at-utc"


def find_refusal(sim: Simulator, request: Request, now: float, *, limit: RateLimit | None) -> Answer | None:
    """Return 401 or 429, or None to continue. `limit`: the rate limit towards which this kind of request counts."""
    if not request.key and not request.bearer:
        return error(401, "Missing x-api-key (or Authorization) header")
    if not request.key or (sim.config.api_keys and request.key not in sim.config.api_keys):
        return error(401, "Unauthorized. The API key is invalid or has expired; see the console for your keys")
    if limit is None:
        return None
    until = limit.refused_until(now)
    if limit is sim.limit and limit.rpm > 0:
        sim.stats.count_limited(now, refused=until is not None)
    if until is None:
        return None
    told = ((RESET_HEADER, tell_instant(sim, until)),) if sim.config.rate_tells_reset else ()
    return error(429, "Rate limit exceeded. Please slow down", told)


def tell_instant(sim: Simulator, seconds: float) -> str:
    """Convert seconds since 1970 to RFC 3339, UTC, by the upstream's clock, which may be wrong."""
    return rfc3339(datetime.fromtimestamp(seconds + sim.config.clock_offset_seconds, UTC)) or ""
