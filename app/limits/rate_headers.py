"""A rate limit over HTTP: the fields of draft-ietf-httpapi-ratelimit-headers-11, and the refusal."""

from collections.abc import Sequence

from app.core.errors import Refusal
from app.limits.buckets import Standing, seconds_up

WINDOW_SECONDS = 60


class RateLimited(Refusal):
    """429: the tenant or its key makes more submits than its rate limit allows."""

    status = 429
    code = "rate_limited"

    def __init__(self, standings: Sequence[Standing], count: int) -> None:
        """`standings`: of all limits that were checked. At least one does not accept `count` submits."""
        # If the limits were raised since, all of them accept: name the fullest.
        violated = sorted(
            [standing for standing in standings if standing.micros_until(count) or count > standing.remaining]
            or standings,
            key=lambda standing: standing.micros_until(count),
        )
        longest = violated[-1]
        seconds = max(1, seconds_up(longest.micros_until(count)))
        whose = "this key" if longest.policy == "key" else "this tenant"
        super().__init__(
            f"rate limit exceeded: {whose} may make {longest.rate.per_minute} submits a minute, {longest.rate.burst} at once; try again in"
            f" {seconds} s",
            retry_after_seconds=seconds,
            extra={
                "limit": "rate_per_minute",
                "of": longest.policy,
                "rate_per_minute": longest.rate.per_minute,
                "burst": longest.rate.burst,
                "violated-policies": [standing.policy for standing in violated],
            },
            headers=rate_headers(standings),
        )


def rate_headers(standings: Sequence[Standing]) -> dict[str, str]:
    """`RateLimit-Policy`: submits (`q`) in a window of `w` seconds. `RateLimit`: submits left (`r`), and the seconds
    (`t`) until one more fits, or until all fit if some are left."""
    return {
        "RateLimit-Policy": ", ".join(
            f'"{standing.policy}";q={standing.rate.per_minute};w={WINDOW_SECONDS}' for standing in standings
        ),
        "RateLimit": ", ".join(
            f'"{standing.policy}";r={standing.remaining};t={standing.reset_seconds}' for standing in standings
        ),
    }
