"""Pure decisions: valid names, the expiry of keys, the settings that an operator may give a tenant."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypedDict

from app.core.clock import parse_instant
from app.core.errors import malformed_field
from app.core.ids import find_id
from app.tenants.models import ALL_SCOPES, Scope

TENANT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
KEY_NAME = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{0,100}")
"""Control characters would corrupt a terminal. JSON can contain lone surrogates, which UTF-8 cannot encode."""

DURATION = re.compile(r"([0-9]{1,9})([smhdw])")
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

LIMITS = {
    "rate_per_minute": (1, 10_000_000),
    "burst": (1, 10_000_000),
    "max_in_flight": (0, 10_000_000),
    "max_queued": (0, 100_000_000),
}
"""(least, most) of each limit of a tenant or key, as in the CHECKs of the tables."""
TENANT_LIMITS = {**LIMITS, "refused_per_minute": (1, 10_000_000)}
"""LIMITS, and the limit that only a tenant has."""
REFUSED_TIMES = 10
"""If `refused_per_minute` is not set: a tenant may have this many times its rate refused."""
DEFAULT_LIMITS = {"rate_per_minute": 600, "burst": 100, "max_in_flight": 200, "max_queued": 10_000}
"""The limits of a new tenant, as in the table."""
WEIGHT = (0.001, 1_000)


@dataclass(frozen=True, slots=True)
class Rate:
    """A rate limit: `per_minute` submits in the long run, `burst` at once after a rest."""

    per_minute: int
    burst: int


def refused_rate(rate: Rate, per_minute: int | None) -> Rate:
    """The limit of a tenant's refused submits; the burst is a minute's. `per_minute` None: REFUSED_TIMES its `rate`; then the
    burst is REFUSED_TIMES its burst if that is more."""
    if per_minute is not None:
        return Rate(per_minute, per_minute)
    most = TENANT_LIMITS["refused_per_minute"][1]
    per_minute = min(REFUSED_TIMES * rate.per_minute, most)
    return Rate(per_minute, max(per_minute, min(REFUSED_TIMES * rate.burst, most)))


class TenantChanges(TypedDict, total=False):
    """Changes to a tenant; absent settings stay. Prices are micro-credits. None: no limit, or no value of its own."""

    weight: float
    rate_per_minute: int
    burst: int
    refused_per_minute: int | None
    max_in_flight: int
    max_queued: int

    name: str
    suspended: bool
    max_price: int | None
    default_price: int | None
    models: list[str] | None


class KeyChanges(TypedDict, total=False):
    """Changes to a key; absent settings stay. `expires_at` None: it never expires. A limit of None: no limit of its own."""

    rate_per_minute: int | None
    burst: int | None
    max_in_flight: int | None
    max_queued: int | None

    name: str
    expires_at: datetime | None


def checked_tenant_name(name: str) -> str:
    """Returns the name, or raises Malformed. A name must not look like an id, or `ten_…` would be ambiguous."""
    if TENANT_NAME.fullmatch(name) is None or find_id("ten", name) is not None:
        raise malformed_field(
            "name",
            "expected 1 to 63 letters, digits, dots, underscores and hyphens, a letter or digit first, not an id",
        )
    return name


def checked_key_name(name: str) -> str:
    """Returns the name of a key, or raises Malformed."""
    if KEY_NAME.fullmatch(name) is None:
        raise malformed_field("name", "expected at most 100 characters, none of them a control character")
    return name


def checked_limit(name: str, value: object) -> int:
    """Returns the JSON value of one of TENANT_LIMITS. Raises ValueError."""
    least, most = TENANT_LIMITS[name]
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(f"expected a whole number from {least} to {most}")
    return value


def checked_weight(value: object) -> float:
    """Returns the JSON value of a tenant's weight. Raises ValueError."""
    least, most = WEIGHT
    # comparisons with NaN are false, so it is refused
    if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(f"expected a number from {least:g} to {most}")
    return float(value)


def checked_scopes(scopes: Iterable[Scope] | None) -> list[Scope]:
    """Returns the scopes in the order of the enum, without duplicates. None means all. Raises Malformed if empty."""
    if scopes is None:
        return list(ALL_SCOPES)
    wanted = set(scopes)
    if not wanted:
        raise malformed_field("scopes", f"expected at least one of {', '.join(ALL_SCOPES)}")
    return [scope for scope in ALL_SCOPES if scope in wanted]


def parse_expires(text: str, *, now: datetime) -> datetime:
    """The expiry of a key, from an RFC 3339 instant or a duration from now, such as `30d`. Raises Malformed."""
    duration = DURATION.fullmatch(text)
    try:
        if duration is not None:
            return now + timedelta(**{UNITS[duration[2]]: int(duration[1])})
        return parse_instant(text)
    except OverflowError:
        raise malformed_field(
            "expires_at", "expected a time before the year 10000, such as 2030-01-31T12:00:00Z or 365d"
        ) from None
    except ValueError as error:
        raise malformed_field("expires_at", f"{error}, or a duration such as 30d, 12h, 90m") from None


def checked_expiry(expires_at: datetime | None, *, now: datetime) -> datetime | None:
    """Returns the expiry. Raises Malformed if it has passed."""
    if expires_at is not None and expires_at <= now:
        raise malformed_field("expires_at", "expected a time in the future")
    return expires_at


def parse_scopes(texts: Sequence[str]) -> list[Scope]:
    """Parses names of scopes; each text may be a comma-separated list. Raises Malformed, which names the wrong one."""
    names = [name.strip() for text in texts for name in text.split(",")]
    for name in names:
        if name not in ALL_SCOPES:
            raise malformed_field("scopes", f"unknown scope {name!r}; expected some of {', '.join(ALL_SCOPES)}")
    return checked_scopes(Scope(name) for name in names)
