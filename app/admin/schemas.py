"""What operators send. The values are judged by `tenants.decide`, the same for the commands; here are only shapes."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool

from app.core.paging import LIMIT_DEFAULT, LIMIT_MAX
from app.tenants.decide import parse_instant
from app.tenants.models import ALL_SCOPES, Scope


def _instant(value: object) -> datetime | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError("expected a string")
    return parse_instant(value)


Instant = Annotated[datetime | None, BeforeValidator(_instant)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class TenantCreate(_Body):
    """A new tenant."""

    name: str


class TenantPatch(_Body):
    """What is to change. Only what was sent counts (`exclude_unset`), so the defaults are never read."""

    name: str = Field(default_factory=str)
    suspended: StrictBool = Field(default_factory=bool, description="a suspended tenant may read, and write nothing")


class KeyCreate(_Body):
    """A new key."""

    name: str = ""
    scopes: list[Scope] = Field(default=list(ALL_SCOPES), max_length=100)
    expires_at: Instant = Field(default=None, description="RFC 3339; null: never")


class ListQuery(_Body):
    """Which page of a list."""

    cursor: str | None = None
    limit: int = Field(default=LIMIT_DEFAULT, ge=1, le=LIMIT_MAX)
