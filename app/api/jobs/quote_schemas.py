"""HTTP schemas of quotes."""

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field

from app.api.jobs.schemas import Eta
from app.catalog.models import PriceRule
from app.core.credits import show_credits
from app.jobs.submit.quoting import Binding, PausedBy, Quote
from app.web.problems import problem_of


class WaitSeconds(BaseModel):
    """Seconds until the job would be sent, with probability 50 % and 90 %."""

    p50: float
    p90: float


class WouldBeRefused(BaseModel):
    """The problem document that a submit would be answered with now."""

    model_config = ConfigDict(extra="allow")

    status: int
    code: str
    title: str
    detail: str
    retry_after_seconds: int | None


class QuoteOut(BaseModel):
    """What a submit would be answered now."""

    model: str
    price: str = Field(examples=["0.133950"], description="credits")
    price_rule: PriceRule = Field(
        description="metered: the charge is the upstream's cost times the mark-up, at most the price; fixed: the charge is the price"
    )
    markup: str = Field(examples=["1.000000"])
    hold: str = Field(examples=["0.133950"], description="credits that are held until the job has ended")
    accepted: bool = Field(description="whether a submit would be accepted")
    would_be_refused: WouldBeRefused | None = Field(description="null: a submit would be accepted")
    binding: Binding = Field(
        description="rate, queued, price, credits, budget: why a submit would be refused. paused, not_before, in_flight (the"
        " tenant's own limit), upstream (its limit, or an outage): what the job would wait for. none: it would be sent at once"
    )
    paused_by: PausedBy | None = Field(
        description="if binding is paused. upstream: the upstream refuses the model at the moment; one job at a time is sent to find"
        " out when this ends, and then the others are sent automatically. operator: an operator ends the pause"
    )
    wait_seconds: WaitSeconds | None = Field(description="if a submit would be accepted; null: no estimate is possible")
    eta: Eta | None = Field(description="when the job would have ended; null: no estimate is possible")
    position: int | None = Field(
        description="the job's position in the tenant's queue; null: the job would not be ready at once"
    )

    @classmethod
    def of(cls, quote: Quote) -> Self:
        """The schema of a quote."""
        wait = quote.wait
        return cls(
            model=quote.model,
            price=show_credits(quote.price_micro),
            price_rule=quote.price_rule,
            markup=show_credits(quote.markup_micro),
            hold=show_credits(quote.price_micro),
            accepted=quote.refusal is None,
            would_be_refused=None if quote.refusal is None else _refused(problem_of(quote.refusal), quote),
            binding=quote.binding,
            paused_by=quote.paused_by,
            wait_seconds=None if wait is None else WaitSeconds(p50=round(wait.p50, 3), p90=round(wait.p90, 3)),
            eta=Eta.of(quote.estimate),
            position=quote.estimate.position,
        )


def _refused(problem: dict[str, Any], quote: Quote) -> WouldBeRefused:
    assert quote.refusal is not None
    return WouldBeRefused.model_validate({**problem, "retry_after_seconds": quote.refusal.retry_after_seconds})
