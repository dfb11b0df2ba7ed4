"""Schemas of what operators send. They define the shapes; `tenants.decide` checks the values, for the commands as well."""

from collections.abc import Callable
from typing import Annotated, Any, Self, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictStr,
    WithJsonSchema,
    model_validator,
)

from app.admin.decide import (
    NOTE_MAX,
    REFERENCE_MAX,
    KeySettings,
    TenantSettings,
    checked_amount,
    checked_line,
    checked_models,
)
from app.catalog.decide import ModelChanges, checked_schema, parse_markup
from app.catalog.models import PriceRule
from app.core import clock
from app.core.credits import parse_credits
from app.core.errors import Malformed
from app.ledger.models import ExposureReason
from app.tenants.decide import (
    TENANT_LIMITS,
    WEIGHT,
    checked_expiry,
    checked_key_name,
    checked_limit,
    checked_tenant_name,
    checked_weight,
)
from app.tenants.models import ALL_SCOPES, Scope
from app.web.fields import Instant
from app.web.paging import LIMIT_DEFAULT
from app.web.query import Limit


def _credits(value: object) -> int | None:
    return None if value is None else parse_credits(value)


_AMOUNT: dict[str, Any] = {"type": "string", "pattern": r"^[0-9]{1,10}(\.[0-9]{1,6})?$", "examples": ["0.089300"]}
_MARKUP: dict[str, Any] = {"anyOf": [{"type": "string"}, {"type": "number"}], "examples": ["1.2"]}


def _words(value: str) -> str:
    if not value.isprintable():
        raise ValueError("expected printable characters")
    return value


Words = Annotated[str, Field(min_length=1), AfterValidator(_words)]
"""Text that Postgres accepts."""
Amount = Annotated[
    int | None, BeforeValidator(_credits), WithJsonSchema({"anyOf": [_AMOUNT, {"type": "null"}], "default": None})
]
"""Credits, as a decimal string with at most six decimals. The value is micro-credits."""


def _by(check: Callable[[Any], object]) -> AfterValidator:
    """Return a validator: a later check runs now, so that all errors of a body are reported together. It keeps the value."""

    def checked(value: Any) -> Any:
        try:
            check(value)
        except Malformed as error:
            raise ValueError(error.problems[0].message) from None
        return value

    return AfterValidator(checked)


TenantName = Annotated[str, _by(checked_tenant_name)]
KeyName = Annotated[str, _by(checked_key_name)]
Expiry = Annotated[Instant, _by(lambda at: checked_expiry(at, now=clock.now()))]
Reference = Annotated[
    StrictStr, _by(lambda text: checked_line(text, field="reference", most=REFERENCE_MAX, required=True))
]
Note = Annotated[StrictStr, _by(lambda text: checked_line(text, field="note", most=NOTE_MAX))]
Reason = Annotated[StrictStr, _by(lambda text: checked_line(text, field="note", most=NOTE_MAX, required=True))]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


def _limit(name: str) -> Any:
    least, most = TENANT_LIMITS[name]
    return (
        BeforeValidator(lambda value: checked_limit(name, value)),
        WithJsonSchema({"type": "integer", "minimum": least, "maximum": most}),
    )


def _own_limit(name: str) -> Any:
    least, most = TENANT_LIMITS[name]
    number = {"type": "integer", "minimum": least, "maximum": most}
    return (
        BeforeValidator(lambda value: None if value is None else checked_limit(name, value)),
        WithJsonSchema({"anyOf": [number, {"type": "null"}], "default": None}),
    )


_WEIGHT: dict[str, Any] = {"type": "number", "minimum": WEIGHT[0], "maximum": WEIGHT[1]}


class TenantPatch(_Body):
    """What is to change. Only what was sent counts (`exclude_unset`), so the defaults are never read."""

    name: TenantName = Field(default_factory=str)
    suspended: StrictBool = Field(default_factory=bool, description="a suspended tenant may read, and write nothing")
    max_price: Amount = Field(default=None, description="the dearest job it may ask for; null: any")
    default_price: Amount = Field(default=None, description="of models without a price; null: WAYSTATION_DEFAULT_PRICE")
    overdraft: Amount = Field(default=None, description="how far below nothing it may go; null: not at all")
    daily_credits: Amount = Field(default=None, description="what it may spend in a day of UTC; null: any")
    monthly_credits: Amount = Field(default=None, description="what it may spend in a month of UTC; null: any")
    models: Annotated[list[StrictStr], AfterValidator(checked_models)] | None = Field(
        default=None, description="slugs of the models it may ask for; null: any"
    )
    weight: Annotated[float, BeforeValidator(checked_weight), WithJsonSchema(_WEIGHT)] = Field(
        default_factory=float, description="its share of what all may spend upstream, beside the others'"
    )
    rate_per_minute: Annotated[int, *_limit("rate_per_minute")] = Field(default_factory=int, description="submits")
    burst: Annotated[int, *_limit("burst")] = Field(default_factory=int, description="submits at once, after a rest")
    refused_per_minute: Annotated[int | None, *_own_limit("refused_per_minute")] = Field(
        default=None, description="submits that may be refused; null: ten times rate_per_minute"
    )
    max_in_flight: Annotated[int, *_limit("max_in_flight")] = Field(
        default_factory=int, description="jobs at the upstream at once; more wait"
    )
    max_queued: Annotated[int, *_limit("max_queued")] = Field(
        default_factory=int, description="jobs that may wait; more are refused"
    )

    def settings(self) -> TenantSettings:
        """Return what was sent."""
        sent = self.model_dump(exclude_unset=True)
        if "overdraft" in sent:
            sent["overdraft"] = self.overdraft or 0
        return cast(TenantSettings, sent)


class TenantCreate(TenantPatch):
    """A new tenant, and what is to be so of it from the start."""

    name: TenantName


class KeyCreate(_Body):
    """A new key."""

    name: KeyName = ""
    scopes: list[Scope] = Field(default=list(ALL_SCOPES), min_length=1, max_length=100)
    expires_at: Expiry = Field(default=None, description="RFC 3339; null: never")


class KeyPatch(_Body):
    """What is to change. Only what was sent counts (`exclude_unset`)."""

    name: KeyName = Field(default_factory=str)
    expires_at: Instant = Field(default=None, description="RFC 3339; null: never")
    daily_credits: Amount = Field(default=None, description="what it may spend in a day of UTC; null: any")
    monthly_credits: Amount = Field(default=None, description="what it may spend in a month of UTC; null: any")
    rate_per_minute: Annotated[int | None, *_own_limit("rate_per_minute")] = Field(
        default=None, description="submits, beside its tenant's limit; null: only that one"
    )
    burst: Annotated[int | None, *_own_limit("burst")] = Field(
        default=None, description="submits at once, after a rest; null: its tenant's"
    )
    max_in_flight: Annotated[int | None, *_own_limit("max_in_flight")] = Field(
        default=None, description="jobs at the upstream at once; null: only its tenant's"
    )
    max_queued: Annotated[int | None, *_own_limit("max_queued")] = Field(
        default=None, description="jobs that may wait; null: only its tenant's"
    )

    def settings(self) -> KeySettings:
        """Return what was sent."""
        return cast(KeySettings, self.model_dump(exclude_unset=True))


class GrantIn(_Body):
    """Credits for a tenant."""

    amount: Annotated[StrictStr, _by(lambda text: checked_amount(text, field="amount"))] = Field(
        json_schema_extra=_AMOUNT
    )
    reference: Reference = Field(description="the grant's name at this tenant: the same twice is one grant")
    note: Note | None = None
    expires_at: Instant = Field(
        default=None, description="RFC 3339; null: never. A grant that was made before keeps its own"
    )


class AdjustmentIn(_Body):
    """A correction of a tenant's balance."""

    amount: Annotated[StrictStr, _by(lambda text: checked_amount(text, field="amount", signed=True))] = Field(
        json_schema_extra={**_AMOUNT, "pattern": r"^-?[0-9]{1,10}(\.[0-9]{1,6})?$"}, description="what the tenant gains"
    )
    note: Reason = Field(description="why")
    job_id: StrictStr | None = Field(default=None, description="whose charge is lowered by it")


class ModelIn(_Body):
    """What is to be so of a model; what is absent stays as it is (`exclude_unset`)."""

    price: Amount = Field(default=None, description="what a job is quoted; null: no price is set")
    price_rule: PriceRule = Field(default_factory=lambda: PriceRule.METERED)
    markup: Annotated[int, BeforeValidator(parse_markup), WithJsonSchema(_MARKUP)] = Field(
        default_factory=int, description="what a reported cost is multiplied with"
    )
    input_schema: Annotated[dict[str, Any], BeforeValidator(checked_schema)] | None = Field(
        default=None, alias="schema", description="JSON Schema of the input; null: anything goes"
    )
    enabled: StrictBool = Field(default_factory=bool)

    def changes(self) -> ModelChanges:
        """Return what was sent."""
        names = {"price": "price_micro", "markup": "markup_micro", "input_schema": "schema"}
        sent = self.model_dump(exclude_unset=True)
        return cast(ModelChanges, {names.get(name, name): value for name, value in sent.items()})


class ListQuery(_Body):
    """Which page of a list."""

    cursor: str | None = None
    limit: Limit = LIMIT_DEFAULT


class AuditQuery(ListQuery):
    """Which entries of the audit log."""

    operator: Words | None = None
    action: Words | None = Field(default=None, examples=["credits.grant"])
    target: Words | None = None
    tenant: str | None = Field(default=None, description="name or id")
    since: Instant = Field(default=None, description="RFC 3339; entries from then on")
    before: Instant = Field(default=None, description="RFC 3339; entries before then")


class ExposureQuery(ListQuery):
    """Which exposure."""

    tenant: str | None = Field(default=None, description="name or id")
    reason: ExposureReason | None = None
    since: Instant = Field(default=None, description="RFC 3339; from then on")


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
