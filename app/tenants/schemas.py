"""How an instant and a number are shown."""

from datetime import datetime
from typing import Annotated

from pydantic import PlainSerializer, WithJsonSchema

from app.core.clock import rfc3339

At = Annotated[
    datetime, PlainSerializer(rfc3339, return_type=str), WithJsonSchema({"type": "string", "format": "date-time"})
]
"""An instant, shown as RFC 3339 UTC."""


def plain_number(value: float) -> int | float:
    """1 instead of 1.0, and 0.5 as it is."""
    return int(value) if value.is_integer() else value
