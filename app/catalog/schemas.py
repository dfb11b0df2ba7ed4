"""Models as operators see them."""

from typing import Any, Self

from pydantic import BaseModel, Field

from app.catalog.models import PriceRule
from app.catalog.queries import Model
from app.core.credits import show_credits
from app.web.fields import At


class ModelOut(BaseModel):
    """A model of the catalogue."""

    slug: str
    title: str
    modality: str | None
    price: str | None = Field(examples=["0.133923"], description="credits; null: no price is set")
    price_rule: PriceRule
    markup: str = Field(examples=["1.000000"], description="factor by which the upstream's cost is multiplied")
    mean_cost: str | None = Field(description="mean cost in credits, as published by the upstream")
    mean_run_seconds: float | None = Field(description="published")
    input_schema: dict[str, Any] | None = Field(serialization_alias="schema", description="JSON Schema of the input")
    enabled: bool
    disabled_reason: str | None
    retired_at: At | None
    updated_at: At

    @classmethod
    def of(cls, model: Model) -> Self:
        """Build the output for a model."""
        return cls(
            slug=model.slug,
            title=model.title,
            modality=model.modality,
            price=None if model.price_micro is None else show_credits(model.price_micro),
            price_rule=model.price_rule,
            markup=show_credits(model.markup_micro),
            mean_cost=None if model.cost_micro is None else show_credits(model.cost_micro),
            mean_run_seconds=model.run_seconds,
            input_schema=model.schema,
            enabled=model.enabled,
            disabled_reason=model.disabled_reason,
            retired_at=model.retired_at,
            updated_at=model.updated_at,
        )
