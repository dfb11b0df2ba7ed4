"""The settings of a simulator, and how they are changed while it runs."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

RateKind = Literal["token_bucket", "sliding_minute", "fixed_minute"]
MICROS_PER_CREDIT = 1_000_000


@dataclass(slots=True)
class SimulatorConfig:
    """The names contain the units. 0 or None turns a limit off. All but FIXED may be changed while the simulator runs."""

    host: str = "127.0.0.1"
    port: int = 0
    """0: any free port."""
    base_url: str = ""
    """The start of the URLs in answers. Empty: `http://` and the request's Host header."""
    book_path: Path | None = None
    """The file of the book. None: the book is only in memory."""
    seed: int | None = None
    """Makes ids, run times, costs and faults repeatable. None: random ids."""
    api_keys: tuple[str, ...] = ()
    """The accepted keys. Empty: any key that is not empty."""

    speed: float = 1.0
    """Divides every time of runs that are submitted from now on."""
    queue_mean_seconds: float = 0.5
    sigma: float = 0.3
    """Of the log-normal distributions around a model's mean run time and around the queue time."""
    default_run_seconds: float = 24.0
    """For a model without a published run time: about the median of the published ones."""
    default_cost_micros: int = 50_000
    cost_spread: float = 0.05
    """A run costs its model's mean plus or minus at most this share. The reservation is the mean plus this share."""
    cold_start_seconds: float = 0.0
    """Queue time added to a model's first run, and again after the model was idle for `cold_after_seconds`."""
    cold_after_seconds: float = 300.0
    failure_probability: float = 0.0
    """The share of runs that end FAILED."""
    validation_seconds: float = 0.003372

    retention_seconds: float = 3600.0
    """Counted from the submit. Then the request is 404."""
    output_retention_seconds: float = 7 * 86400.0
    output_bytes: int = 2048
    runs_max: int = 500_000
    """Beyond this number, ended runs are deleted, oldest first, also from the history."""
    body_bytes_max: int = 64 * 1024 * 1024
    sync_limit_seconds: float = 300.0
    """A v1 call of a longer run is answered 504. The run goes on."""

    credits_micros: int = 1_000_000 * MICROS_PER_CREDIT
    free_credits_micros: int = 0
    spend_limit_micros: int | None = None
    """The team's spend cap: beyond it submits are answered 406."""

    rpm: int = 0
    """Requests per `rate_window_seconds` over all keys. 0: no limit."""
    rate_kind: RateKind = "token_bucket"
    rate_burst: int = 0
    """Of the token bucket. 0: the same as `rpm`."""
    rate_window_seconds: float = 60.0
    rate_counts_polls: bool = False
    rate_tells_reset: bool = True
    """Whether answers name the instant from which requests are accepted again."""
    history_rpm: int = 0
    """Requests to the history per `rate_window_seconds`, counted apart from all others. 0: no limit."""
    clock_offset_seconds: float = 0.0
    """Added to every instant that answers name, also to their Date; below 0: the upstream's clock is slow."""

    history_lag_seconds: float = 0.0
    """The time from the submit until the row appears."""
    history_late_probability: float = 0.0
    """The share of runs whose row appears later still. Which ones is decided when they are submitted."""
    history_late_seconds: float = 0.0
    """Each such row is late by a random time of at most this, which is not divided by the speed."""
    history_lies_probability: float = 0.0
    """The share of runs whose row says FAILED if the run ends COMPLETED, and COMPLETED if it ends FAILED. Decided likewise."""
    history_cost_lag_seconds: float = 0.0
    """The time from the end of the run until the row shows its cost."""
    history_body: Literal["object", "string", "none"] = "object"
    """How rows show what was submitted. none: they do not."""
    history_adds_defaults: bool = False
    """Whether rows also show the defaults of parameters that were not sent."""
    history_numbers_as_strings: bool = False
    """Whether rows show 7 as "7"."""

    strict_catalogue: bool = False
    """Whether slugs outside the catalogue are 404. If not, they run with the default profile."""
    unknown_slugs: tuple[str, ...] = ()
    retired_slugs: tuple[str, ...] = ()
    forbidden_slugs: tuple[str, ...] = ()


FIXED = frozenset({"host", "port", "base_url", "book_path", "seed"})
CLOCK_OFFSET_SECONDS_MAX = 10 * 366 * 86400.0


class ConfigError(ValueError):
    """A change that is not possible. The message says which name and why."""


def change_config(config: SimulatorConfig, changes: dict[str, Any]) -> None:
    """Apply all of `changes`, named as in SimulatorConfig, or none. `credits` is in credits. Raises ConfigError."""
    wanted = dict(changes)
    if "credits" in wanted:
        wanted["credits_micros"] = round(float(wanted.pop("credits")) * MICROS_PER_CREDIT)
    names = {field.name: field.type for field in fields(config) if field.name not in FIXED}
    checked: dict[str, Any] = {}
    for name, value in wanted.items():
        if name not in names:
            raise ConfigError(f"{name}: cannot be changed; known are {', '.join(sorted(names))}")
        checked[name] = _checked(name, getattr(config, name), value, whole=names[name] is int)
    for name, value in checked.items():
        setattr(config, name, value)


def _checked(name: str, present: Any, value: Any, *, whole: bool) -> Any:
    if name == "spend_limit_micros":
        fits = value is None or (isinstance(value, int) and value >= 0)
    elif isinstance(present, bool):
        fits = isinstance(value, bool)
    elif isinstance(present, tuple):
        fits = isinstance(value, list) and all(isinstance(item, str) for item in value)
        value = tuple(value) if fits else value
    elif name == "rate_kind":
        fits = value in ("token_bucket", "sliding_minute", "fixed_minute")
    elif name == "history_body":
        fits = value in ("object", "string", "none")
    else:
        fits = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
        fits = fits and _is_in_range(name, value)
    if not fits:
        raise ConfigError(f"{name}: {value!r} does not fit; it is {present!r} now")
    return value


def _is_in_range(name: str, value: float) -> bool:
    if name == "clock_offset_seconds":
        return abs(value) <= CLOCK_OFFSET_SECONDS_MAX
    if name.endswith("_probability"):
        return 0 <= value <= 1
    return value > 0 if name in ("speed", "rate_window_seconds") else value >= 0
