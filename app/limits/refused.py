"""The limit on refused submits: how many submits of a tenant may be refused in a minute."""

from functools import lru_cache
from uuid import UUID

from app.core.errors import Refusal
from app.limits.buckets import Standing, seconds_up
from app.limits.rate_headers import rate_headers
from app.limits.rate_script import PREFIX, Bucket
from app.tenants.auth import Principal
from app.tenants.decide import Rate, refused_rate

BUCKETS_KEPT = 5_000
"""Every submit needs its tenant's bucket. A cached one costs a tenth."""


class TooManyRefused(Refusal):
    """429: too many submits of this tenant, or requests without a valid key from this address, were refused lately."""

    status = 429
    code = "too_many_refused"

    def __init__(self, standing: Standing) -> None:
        """`standing`: of the limit, which accepts nothing more."""
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
    """The limit on the refused submits of a tenant. `own`: its refused_per_minute; None: computed from `rate`."""
    return Bucket("refused", f"{PREFIX}refused:{tenant_id.hex}", refused_rate(rate, own), afterwards=True)


def refused_bucket_of(principal: Principal) -> Bucket:
    """The limit on the refused submits of the caller's tenant."""
    return refused_bucket(principal.tenant_id, principal.rate, principal.refused_per_minute)


def counts_as_refused(refusal: Refusal) -> bool:
    """Whether a refusal counts: not our own failures, nor the refusals by this limit."""
    return refusal.status < 500 and not isinstance(refusal, TooManyRefused)
