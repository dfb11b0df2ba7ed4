"""Types of fields for instants and numbers."""

from datetime import datetime
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from app.core.clock import parse_instant, rfc3339

At = Annotated[
    datetime, PlainSerializer(rfc3339, return_type=str), WithJsonSchema({"type": "string", "format": "date-time"})
]
"""An instant, shown as RFC 3339 UTC."""


def _instant(value: object) -> datetime | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError("expected a string")
    return parse_instant(value)


Instant = Annotated[datetime | None, BeforeValidator(_instant)]
"""An instant that clients send as RFC 3339 with an offset."""


def _plain(value: float) -> int | float:
    return int(value) if value.is_integer() else value


Number = Annotated[float, PlainSerializer(_plain), WithJsonSchema({"type": "number"})]
"""A number: 1.0 is shown as 1, 0.5 as 0.5."""
