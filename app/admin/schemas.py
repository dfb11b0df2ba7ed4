"""What operators send. The values are judged by `tenants.decide`, the same for the commands; here are only shapes."""

from datetime import datetime
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, model_validator

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


class PauseScope(_Body):
    """What is to wait, or to go on: everything, a tenant, a model, or a model of a tenant."""

    tenant: str | None = Field(default=None, description="name or id; null: every tenant")
    model: str | None = Field(default=None, description="slug; null: every model")
    submits: StrictBool = Field(default=False, description="submits to the upstream, the default")
    all: StrictBool = Field(default=False, description="polls as well")

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if self.submits and self.all:
            raise ValueError("say either submits or all")
        return self


class PauseIn(PauseScope):
    """What is to wait, and why."""

    note: str = ""


class ResolveIn(_Body):
    """An operator's decision on an unknown submission: one of the two."""

    adopt: str | None = Field(default=None, description="the upstream's request id: it arrived")
    release: StrictBool = Field(
        default=False, description="it never started: FAILED submission_unknown, free of charge"
    )

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if (self.adopt is None) == (not self.release):
            raise ValueError("say either adopt or release")
        return self
