"""HTTP schemas of models, for tenants."""

from collections.abc import Sequence
from typing import Any, Self

from pydantic import BaseModel, Field

from app.catalog.decide import recent_run_seconds
from app.catalog.models import PriceRule
from app.catalog.queries import Model
from app.core.credits import show_credits
from app.jobs.submit.quoting import PausedBy


class RunSeconds(BaseModel):
    """Run times of the latest jobs at the upstream."""

    p50: float
    p90: float


class OfferOut(BaseModel):
    """A model that the tenant may use."""

    slug: str = Field(examples=["motionctrl-svd"])
    title: str
    modality: str | None
    price: str = Field(examples=["0.133923"], description="credits that are held when a job is accepted")
    price_rule: PriceRule = Field(
        description="metered: the charge is the upstream's cost times the mark-up, at most the price; fixed: the charge is the price"
    )
    markup: str = Field(examples=["1.000000"])
    run_seconds: RunSeconds | None = Field(
        description="run times of the latest 200 completed jobs; null: there are none yet"
    )
    mean_run_seconds: float | None = Field(description="published by the upstream")
    input_schema: dict[str, Any] | None = Field(
        serialization_alias="schema", description="JSON Schema of the input; null: any input is accepted"
    )
    paused_by: PausedBy | None = Field(
        description="null: the model is not paused. upstream: the upstream refuses the model at the moment; jobs are accepted, wait,"
        " and are sent automatically when this ends. operator: jobs wait until an operator ends the pause"
    )

    @classmethod
    def of(cls, model: Model, price_micro: int, samples: Sequence[float], *, paused_by: PausedBy | None = None) -> Self:
        """The schema of a model with its price. `samples`: its latest run times, in seconds."""
        recent = recent_run_seconds(samples)
        return cls(
            slug=model.slug,
            title=model.title,
            modality=model.modality,
            price=show_credits(price_micro),
            price_rule=model.price_rule,
            markup=show_credits(model.markup_micro),
            run_seconds=None if recent is None else RunSeconds(p50=recent[0], p90=recent[1]),
            mean_run_seconds=model.run_seconds,
            input_schema=model.schema,
            paused_by=paused_by,
        )
