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
    """The settings to change; settings that are not sent stay as they are."""

    # only what was sent counts (`exclude_unset`), so the defaults are never read
    name: TenantName = Field(default_factory=str)
    suspended: StrictBool = Field(default_factory=bool, description="a suspended tenant may read, but not write")
    max_price: Amount = Field(default=None, description="highest price of a job, in credits; null: no limit")
    default_price: Amount = Field(default=None, description="of models without a price; null: WAYSTATION_DEFAULT_PRICE")
    overdraft: Amount = Field(default=None, description="how far below zero the balance may go; null: 0")
    daily_credits: Amount = Field(default=None, description="credits to spend in a day (UTC); null: no limit")
    monthly_credits: Amount = Field(default=None, description="credits to spend in a month (UTC); null: no limit")
    models: Annotated[list[StrictStr], AfterValidator(checked_models)] | None = Field(
        default=None, description="slugs of the models that it may use; null: all"
    )
    weight: Annotated[float, BeforeValidator(checked_weight), WithJsonSchema(_WEIGHT)] = Field(
        default_factory=float, description="its share of the upstream, relative to the weights of other tenants"
    )
    rate_per_minute: Annotated[int, *_limit("rate_per_minute")] = Field(default_factory=int, description="submits")
    burst: Annotated[int, *_limit("burst")] = Field(default_factory=int, description="submits that may be made at once")
    refused_per_minute: Annotated[int | None, *_own_limit("refused_per_minute")] = Field(
        default=None, description="refused submits that are allowed in a minute; null: 10 times rate_per_minute"
    )
    max_in_flight: Annotated[int, *_limit("max_in_flight")] = Field(
        default_factory=int, description="jobs that may be in flight; further jobs stay queued"
    )
    max_queued: Annotated[int, *_limit("max_queued")] = Field(
        default_factory=int, description="jobs that may be queued; further submits are refused"
    )

    def settings(self) -> TenantSettings:
        """Return what was sent."""
        sent = self.model_dump(exclude_unset=True)
        if "overdraft" in sent:
            sent["overdraft"] = self.overdraft or 0
        return cast(TenantSettings, sent)


class TenantCreate(TenantPatch):
    """A new tenant and its settings."""

    name: TenantName


class KeyCreate(_Body):
    """A new key."""

    name: KeyName = ""
    scopes: list[Scope] = Field(default=list(ALL_SCOPES), min_length=1, max_length=100)
    expires_at: Expiry = Field(default=None, description="RFC 3339; null: never")


class KeyPatch(_Body):
    """The settings to change; settings that are not sent stay as they are."""

    name: KeyName = Field(default_factory=str)
    expires_at: Instant = Field(default=None, description="RFC 3339; null: never")
    daily_credits: Amount = Field(default=None, description="credits to spend in a day (UTC); null: no limit")
    monthly_credits: Amount = Field(default=None, description="credits to spend in a month (UTC); null: no limit")
    rate_per_minute: Annotated[int | None, *_own_limit("rate_per_minute")] = Field(
        default=None, description="submits a minute, in addition to the tenant's limit; null: only the tenant's limit"
    )
    burst: Annotated[int | None, *_own_limit("burst")] = Field(
        default=None, description="submits that may be made at once; null: the tenant's burst"
    )
    max_in_flight: Annotated[int | None, *_own_limit("max_in_flight")] = Field(
        default=None, description="jobs that may be in flight; null: only the tenant's limit"
    )
    max_queued: Annotated[int | None, *_own_limit("max_queued")] = Field(
        default=None, description="jobs that may be queued; null: only the tenant's limit"
    )

    def settings(self) -> KeySettings:
        """Return what was sent."""
        return cast(KeySettings, self.model_dump(exclude_unset=True))


class GrantIn(_Body):
    """Credits for a tenant."""

    amount: Annotated[StrictStr, _by(lambda text: checked_amount(text, field="amount"))] = Field(
        json_schema_extra=_AMOUNT
    )
    reference: Reference = Field(
        description="identifies the grant at this tenant: a repeated reference makes no second grant"
    )
    note: Note | None = None
    expires_at: Instant = Field(
        default=None, description="RFC 3339; null: never. An existing grant with this reference keeps its own"
    )


class AdjustmentIn(_Body):
    """A correction of a tenant's balance."""

    amount: Annotated[StrictStr, _by(lambda text: checked_amount(text, field="amount", signed=True))] = Field(
        json_schema_extra={**_AMOUNT, "pattern": r"^-?[0-9]{1,10}(\.[0-9]{1,6})?$"},
        description="credits that the tenant gains; negative: loses",
    )
    note: Reason = Field(description="reason")
    job_id: StrictStr | None = Field(default=None, description="the job whose charge is lowered")


class ModelIn(_Body):
    """The settings of a model to change; settings that are not sent stay as they are."""

    price: Amount = Field(default=None, description="price of a job, in credits; null: no price is set")
    price_rule: PriceRule = Field(default_factory=lambda: PriceRule.METERED)
    markup: Annotated[int, BeforeValidator(parse_markup), WithJsonSchema(_MARKUP)] = Field(
        default_factory=int, description="factor by which the upstream's cost is multiplied"
    )
    input_schema: Annotated[dict[str, Any], BeforeValidator(checked_schema)] | None = Field(
        default=None, alias="schema", description="JSON Schema of the input; null: any input is accepted"
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
    since: Instant = Field(default=None, description="RFC 3339; entries at or after this time")
    before: Instant = Field(default=None, description="RFC 3339; entries before this time")


class ExposureQuery(ListQuery):
    """Which exposure."""

    tenant: str | None = Field(default=None, description="name or id")
    reason: ExposureReason | None = None
    since: Instant = Field(default=None, description="RFC 3339; exposure at or after this time")


class PauseScope(_Body):
    """What is paused or resumed: everything, a tenant, a model, or a model of a tenant."""

    tenant: str | None = Field(default=None, description="name or id; null: every tenant")
    model: str | None = Field(default=None, description="slug; null: every model")
    submits: StrictBool = Field(default=False, description="pause only submits to the upstream; the default")
    all: StrictBool = Field(default=False, description="pause polls, too")

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if self.submits and self.all:
            raise ValueError("expected either submits or all, not both")
        return self


class PauseIn(PauseScope):
    """What is paused, and the reason."""

    note: str = ""


class ResolveIn(_Body):
    """An operator's decision on an unknown submission: either `adopt` or `release`."""

    adopt: str | None = Field(default=None, description="the submission arrived: its request id at the upstream")
    release: StrictBool = Field(
        default=False,
        description="true: the submission did not arrive; the job becomes FAILED submission_unknown and is not charged",
    )
    force: StrictBool = Field(default=False, description="true: adopt what the upstream's history cannot confirm")

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if (self.adopt is None) == (not self.release):
            raise ValueError("expected either adopt or release")
        return self
