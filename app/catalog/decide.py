"""Pure decisions about models: what a job costs, and what an operator may write into the catalogue."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypedDict

import jsonschema_rs
import orjson

from app.catalog.models import PriceRule
from app.core.credits import MICRO, parse_credits

MARKUP_MAX = 1_000
SCHEMA_BYTES_MAX = 64 * 1024
BACKTRACKS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Terms:
    """How a job of a model is priced and charged. `price_micro` None: no price is set."""

    price_micro: int | None = None
    price_rule: PriceRule = PriceRule.METERED
    markup_micro: int = MICRO


def quote(terms: Terms, *, default_price_micro: int | None, fallback_micro: int) -> int:
    """The hold of a job in micro-credits: the model's price, else the tenant's default, else everybody's."""
    if terms.price_micro is not None:
        return terms.price_micro
    return fallback_micro if default_price_micro is None else default_price_micro


class ModelChanges(TypedDict, total=False):
    """What an operator may change of a model. An absent member stays; a price or schema of None is removed."""

    price_micro: int | None
    price_rule: PriceRule
    markup_micro: int
    schema: dict[str, Any] | None
    enabled: bool


def usual_price(cost_micro: int) -> int:
    """The price for this mean cost, in micro-credits: 1.5 times the cost, to cover expensive runs."""
    return (3 * cost_micro + 1) // 2


def parse_markup(value: object) -> int:
    """Return the factor for a cost, in millionths. Raises ValueError with what was expected."""
    expected = f'expected a factor from 0 to {MARKUP_MAX} with at most 6 decimals, such as "1.2"'
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(expected)
    try:
        micro = parse_credits(value if isinstance(value, str) else format(Decimal(str(value)), "f"))
    except (ValueError, OverflowError):
        raise ValueError(expected) from None
    if micro > MARKUP_MAX * MICRO:
        raise ValueError(expected)
    return micro


def checked_schema(schema: object) -> dict[str, Any]:
    """Return a valid JSON Schema that needs no other document. Raises ValueError."""
    if not isinstance(schema, dict):
        raise ValueError("expected a JSON Schema, which is an object")
    if len(orjson.dumps(schema)) > SCHEMA_BYTES_MAX:
        raise ValueError(f"expected at most {SCHEMA_BYTES_MAX} bytes")
    try:
        validator_of(schema)
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        raise ValueError(f"not a JSON Schema: {str(error).splitlines()[0][:200]}") from None
    return schema


def validator_of(schema: Any) -> jsonschema_rs.Validator:
    """Return the validator of inputs. Raises ValueError or ReferencingError. `$ref` reaches no network and no file.

    Matching a pattern takes time linear in the text. Patterns that cannot (with lookaround or backreferences) may
    backtrack BACKTRACKS_MAX times; a text that needs more does not match.
    """
    try:
        return jsonschema_rs.validator_for(schema, offline=True, pattern_options=jsonschema_rs.RegexOptions())
    except ValueError:
        tries = jsonschema_rs.FancyRegexOptions(backtrack_limit=BACKTRACKS_MAX)
        return jsonschema_rs.validator_for(schema, offline=True, pattern_options=tries)


def recent_run_seconds(samples: Sequence[float]) -> tuple[float, float] | None:
    """Return the median and 90th percentile (nearest rank) of run times in seconds, or None if there are none."""
    if not samples:
        return None
    ordered = sorted(samples)
    p50, p90 = (ordered[max(0, math.ceil(share * len(ordered)) - 1)] for share in (0.5, 0.9))
    return round(p50, 3), round(p90, 3)
