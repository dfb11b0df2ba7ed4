"""Pure choices: what an operator may set on a tenant, and how what was asked is written down."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime

from app.admin.models import Role
from app.catalog.check import SLUG
from app.core.clock import rfc3339
from app.core.credits import parse_credits, show_credits
from app.core.errors import Malformed, malformed_field
from app.tenants.decide import KeyChanges, TenantChanges, checked_tenant_name

OPERATOR_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
REFERENCE_MAX = 200
NOTE_MAX = 1_000
MODELS_MAX = 1_000
CLEAR = ("", "null", "none")
"""What takes a setting away where it is written as KEY=VALUE."""
AMOUNTS = frozenset({"max_price", "default_price", "overdraft", "daily_credits", "monthly_credits", "amount", "price"})
SETTABLE = (
    "name", "suspended", "max_price", "default_price", "overdraft", "daily_credits", "monthly_credits", "models",
)  # fmt: skip


class TenantSettings(TenantChanges, total=False):
    """What an operator may set on a tenant; what is absent stays. Amounts in micro-credits; a budget of None is none."""

    overdraft: int
    daily_credits: int | None
    monthly_credits: int | None


class KeySettings(KeyChanges, total=False):
    """What an operator may set on a key; what is absent stays. Amounts in micro-credits; a budget of None is none."""

    daily_credits: int | None
    monthly_credits: int | None


def checked_operator_name(name: str) -> str:
    """The name, or Malformed."""
    if OPERATOR_NAME.fullmatch(name) is None:
        raise malformed_field(
            "name", "expected 1 to 63 letters, digits, dots, underscores and hyphens, a letter or digit first"
        )
    return name


def checked_role(text: str) -> Role:
    """The role of this name, or Malformed."""
    if text not in tuple(Role):
        raise malformed_field("role", f"expected {' or '.join(Role)}")
    return Role(text)


def checked_line(text: str, *, field: str, most: int, required: bool = False) -> str:
    """A line for people: printable, at most `most` characters; or Malformed."""
    if len(text) > most or not text.isprintable():
        raise malformed_field(field, f"expected at most {most} characters, all printable")
    if required and not text.strip():
        raise malformed_field(field, "is required")
    return text


def checked_amount(text: object, *, field: str, signed: bool = False) -> int:
    """Micro-credits that are not nothing, or Malformed."""
    try:
        micro = parse_credits(text, signed=signed)
    except ValueError as error:
        raise malformed_field(field, str(error)) from None
    if micro == 0:
        raise malformed_field(field, "expected an amount other than nothing")
    return micro


def checked_models(models: Sequence[str]) -> list[str]:
    """Slugs, each once and in order; raises ValueError."""
    if len(models) > MODELS_MAX:
        raise ValueError(f"expected at most {MODELS_MAX} models")
    for slug in models:
        if not SLUG.fullmatch(slug):
            raise ValueError("expected slugs of models")
    return sorted(set(models))


def parse_settings(assignments: Sequence[str]) -> TenantSettings:
    """The settings written as KEY=VALUE; raises Malformed naming the field that is unknown or not as it must be."""
    settings = TenantSettings()
    for assignment in assignments:
        field, equals, value = assignment.partition("=")
        if not equals:
            raise Malformed(f"expected KEY=VALUE, not {assignment!r}")
        try:
            _take(settings, field, value)
        except ValueError as error:
            raise malformed_field(field, str(error)) from None
    return settings


def _take(settings: TenantSettings, field: str, value: str) -> None:
    clear = value in CLEAR
    if field == "name":
        settings["name"] = checked_tenant_name(value)
    elif field == "suspended":
        if value not in ("true", "false"):
            raise ValueError("expected true or false")
        settings["suspended"] = value == "true"
    elif field == "overdraft":
        settings["overdraft"] = 0 if clear else parse_credits(value)
    elif field == "models":
        settings["models"] = None if clear else checked_models([slug.strip() for slug in value.split(",")])
    elif field in ("max_price", "default_price", "daily_credits", "monthly_credits"):
        settings[field] = None if clear else parse_credits(value)  # type: ignore[literal-required]
    else:
        raise ValueError(f"no such setting of a tenant; there are {', '.join(SETTABLE)}")


def told(asked: Mapping[str, object]) -> dict[str, object]:
    """What was asked, as the audit log keeps it: amounts and instants as they are handed out."""
    return {name: _told(name, value) for name, value in asked.items()}


def _told(name: str, value: object) -> object:
    if name in AMOUNTS and isinstance(value, int):
        return show_credits(value)
    return rfc3339(value) if isinstance(value, datetime) else value
