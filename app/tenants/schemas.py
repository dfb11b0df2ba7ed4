"""How an instant is shown."""

from datetime import datetime
from typing import Annotated

from pydantic import PlainSerializer, WithJsonSchema

from app.core.clock import rfc3339

At = Annotated[
    datetime, PlainSerializer(rfc3339, return_type=str), WithJsonSchema({"type": "string", "format": "date-time"})
]
"""An instant, shown as RFC 3339 UTC."""
