"""Pure functions: what operators may set on tenants and keys, and how the audit log shows it."""

import re
from collections.abc import Callable, Sequence
from typing import cast

from app.admin.models import Role
from app.catalog.check import SLUG
from app.core.clock import parse_instant
from app.core.credits import parse_credits
from app.core.errors import Malformed, malformed_field
from app.core.faults import Faults
from app.core.near import did_you_mean
from app.tenants.decide import (
    LIMITS,
    TENANT_LIMITS,
    KeyChanges,
    TenantChanges,
    checked_key_name,
    checked_limit,
    checked_tenant_name,
    checked_weight,
)

NUMBER = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?")
OPERATOR_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
REFERENCE_MAX = 200
NOTE_MAX = 1_000
MODELS_MAX = 1_000
CLEAR = ("", "null", "none")
"""The values that clear a setting in KEY=VALUE."""
SETTABLE = (
    "name", "suspended", "max_price", "default_price", "overdraft", "daily_credits", "monthly_credits", "models",
    "weight", *TENANT_LIMITS,
)  # fmt: skip
SETTABLE_ON_KEYS = ("name", "expires_at", "daily_credits", "monthly_credits", *LIMITS)


class TenantSettings(TenantChanges, total=False):
    """What an operator may set on a tenant. Absent settings stay. Amounts in micro-credits; a budget of None is none."""

    overdraft: int
    daily_credits: int | None
    monthly_credits: int | None


class KeySettings(KeyChanges, total=False):
    """What an operator may set on a key. Absent settings stay. Amounts in micro-credits; a budget of None is none."""

    daily_credits: int | None
    monthly_credits: int | None


def checked_operator_name(name: str) -> str:
    """Check and return the name. Raises Malformed."""
    if OPERATOR_NAME.fullmatch(name) is None:
        raise malformed_field(
            "name", "expected 1 to 63 letters, digits, dots, underscores and hyphens, a letter or digit first"
        )
    return name


def checked_role(text: str) -> Role:
    """Return the role with this name. Raises Malformed."""
    if text not in tuple(Role):
        raise malformed_field("role", f"expected {' or '.join(Role)}")
    return Role(text)


def checked_line(text: str, *, field: str, most: int, required: bool = False) -> str:
    """Check and return a line of at most `most` printable characters. Raises Malformed."""
    if len(text) > most or not text.isprintable():
        raise malformed_field(field, f"expected at most {most} characters, all printable")
    if required and not text.strip():
        raise malformed_field(field, "is required")
    return text


def checked_amount(text: object, *, field: str, signed: bool = False) -> int:
    """Return micro-credits that are not zero. Raises Malformed."""
    try:
        micro = parse_credits(text, signed=signed)
    except ValueError as error:
        raise malformed_field(field, str(error)) from None
    if micro == 0:
        raise malformed_field(field, "expected an amount other than 0")
    return micro


def checked_models(models: Sequence[str]) -> list[str]:
    """Return the slugs, sorted and unique. Raises ValueError."""
    if len(models) > MODELS_MAX:
        raise ValueError(f"expected at most {MODELS_MAX} models")
    for slug in models:
        if not SLUG.fullmatch(slug):
            raise ValueError("expected model slugs, such as motionctrl-svd")
    return sorted(set(models))


def parse_settings(assignments: Sequence[str]) -> TenantSettings:
    """Parse a tenant's settings written as KEY=VALUE. Raises Malformed, which names each field that is unknown or not valid."""
    return cast(TenantSettings, _parsed(assignments, _of_tenant))


def parse_key_settings(assignments: Sequence[str]) -> KeySettings:
    """Parse a key's settings written as KEY=VALUE. Raises Malformed like parse_settings."""
    return cast(KeySettings, _parsed(assignments, _of_key))


def _parsed(assignments: Sequence[str], judged: Callable[[str, str], object]) -> dict[str, object]:
    settings: dict[str, object] = {}
    faults, seen = Faults(), set[str]()
    for assignment in assignments:
        field, equals, value = assignment.partition("=")
        if not equals:
            raise Malformed(f"expected KEY=VALUE, such as burst=10; got {assignment!r}")
        with faults:
            if field in seen:
                raise malformed_field(field, "expected only once")
            seen.add(field)
            try:
                settings[field] = judged(field, value)
            except ValueError as error:
                raise malformed_field(field, str(error)) from None
    if faults.problems:
        words = (f"{problem.path.removeprefix('$.')}: {problem.message}" for problem in faults.problems)
        raise Malformed("; ".join(words), problems=faults.problems)
    return settings


def _of_tenant(field: str, value: str) -> object:
    clear = value in CLEAR
    if field == "name":
        return checked_tenant_name(value)
    if field == "suspended":
        if value not in ("true", "false"):
            raise ValueError("expected true or false")
        return value == "true"
    if field == "overdraft":
        return 0 if clear else parse_credits(value)
    if field == "models":
        return None if clear else checked_models([slug.strip() for slug in value.split(",")])
    if field in ("max_price", "default_price", "daily_credits", "monthly_credits"):
        return None if clear else parse_credits(value)
    if field == "weight":
        return checked_weight(_number(value))
    if field == "refused_per_minute" and clear:
        return None
    if field in TENANT_LIMITS:
        return checked_limit(field, _number(value))
    raise ValueError(
        f"unknown setting of a tenant{did_you_mean(field, SETTABLE)}; expected one of {', '.join(SETTABLE)}"
    )


def _of_key(field: str, value: str) -> object:
    clear = value in CLEAR
    if field == "name":
        return checked_key_name(value)
    if field == "expires_at":
        return None if clear else parse_instant(value)
    if field in ("daily_credits", "monthly_credits"):
        return None if clear else parse_credits(value)
    if field in LIMITS:
        return None if clear else checked_limit(field, _number(value))
    near = did_you_mean(field, SETTABLE_ON_KEYS)
    raise ValueError(f"unknown setting of a key{near}; expected one of {', '.join(SETTABLE_ON_KEYS)}")


def _number(text: str) -> int | float | None:
    """Return the number if it is plain digits, else None."""
    if NUMBER.fullmatch(text) is None:
        return None
    return float(text) if "." in text else int(text)
