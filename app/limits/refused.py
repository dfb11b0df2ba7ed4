"""The limit on refused submits: what a tenant may have refused in a minute, beside what it may submit."""

from functools import lru_cache
from uuid import UUID

from app.core.errors import Refusal
from app.limits.buckets import Standing, seconds_up
from app.limits.rate_headers import rate_headers
from app.limits.rate_script import PREFIX, Bucket
from app.tenants.auth import Principal
from app.tenants.decide import Rate, refused_rate

BUCKETS_KEPT = 5_000
"""Each submit asks for its tenant's: made once, it costs a tenth."""


class TooManyRefused(Refusal):
    """429: too many submits of this tenant, or without a good key from this address, were refused lately."""

    status = 429
    code = "too_many_refused"

    def __init__(self, standing: Standing) -> None:
        """`standing`: of the limit, which takes nothing more."""
        seconds = max(1, seconds_up(standing.micros_until(1)))
        rate = standing.rate.per_minute
        words = (
            f"more than {rate} requests a minute without a valid API key from this address"
            if standing.policy == "address"
            else f"more than {rate} submits of this tenant a minute were refused; correct the errors that they were answered with"
        )
        super().__init__(
            f"{words}; try again in {seconds} s",
            retry_after_seconds=seconds,
            extra={"limit": "refused_per_minute", "of": standing.policy, "refused_per_minute": rate},
            headers=rate_headers([standing]),
        )


@lru_cache(maxsize=BUCKETS_KEPT)
def refused_bucket(tenant_id: UUID, rate: Rate, own: int | None) -> Bucket:
    """The limit on what a tenant of this `rate` has refused; `own`: its refused_per_minute, None: by its rate."""
    return Bucket("refused", f"{PREFIX}refused:{tenant_id.hex}", refused_rate(rate, own), afterwards=True)


def refused_bucket_of(principal: Principal) -> Bucket:
    """The limit on what a caller's tenant has refused."""
    return refused_bucket(principal.tenant_id, principal.rate, principal.refused_per_minute)


def counts_as_refused(refusal: Refusal) -> bool:
    """Whether it takes from the limit: not what was our own fault, nor what the limit itself has refused."""
    return refusal.status < 500 and not isinstance(refusal, TooManyRefused)
