"""What a simulator is told at its start, and what may be changed while it runs."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

RateKind = Literal["token_bucket", "sliding_minute", "fixed_minute"]
MICROS_PER_CREDIT = 1_000_000
"""1 credit = 1,000,000 micro-credits."""


@dataclass(slots=True)
class SimulatorConfig:
    """Units are in the names; 0 or None turns a limit off. All but FIXED may be changed on a running simulator."""

    host: str = "127.0.0.1"
    port: int = 0
    """0: any free port."""
    base_url: str = ""
    """What the URLs handed out begin with; empty: `http://` and the request's Host header."""
    book_path: Path | None = None
    """Where the book is appended to; None keeps it in memory only."""
    seed: int | None = None
    """Makes ids, run times, costs and faults repeatable; None: ids from the system's randomness."""
    api_keys: tuple[str, ...] = ()
    """Keys that are let in; none given: any key that is not empty."""

    speed: float = 1.0
    """Divides every time of runs submitted from now on."""
    queue_mean_seconds: float = 0.5
    sigma: float = 0.3
    """Of the log-normal around a model's mean run time and around the queue time."""
    default_run_seconds: float = 24.0
    """For a model without a published run time: about the median of those with one."""
    default_cost_micros: int = 50_000
    cost_spread: float = 0.05
    """A run costs its model's mean, give or take this share; the reservation is the mean plus it."""
    cold_start_seconds: float = 0.0
    """Queue time added to a model's first run, and again after it has been idle for `cold_after_seconds`."""
    cold_after_seconds: float = 300.0
    failure_probability: float = 0.0
    """Share of the runs that end FAILED."""
    validation_seconds: float = 0.003372

    retention_seconds: float = 3600.0
    """Counted from the submit; then the request is 404."""
    output_retention_seconds: float = 7 * 86400.0
    output_bytes: int = 2048
    runs_max: int = 500_000
    """Older finished runs are forgotten altogether, history included."""
    body_bytes_max: int = 64 * 1024 * 1024
    sync_limit_seconds: float = 300.0
    """A v1 call that runs longer is answered 504; the run goes on."""

    credits_micros: int = 1_000_000 * MICROS_PER_CREDIT
    free_credits_micros: int = 0
    spend_limit_micros: int | None = None
    """The team's cap: 406 from there on."""

    rpm: int = 0
    """Requests per `rate_window_seconds` over all keys; 0: no limit."""
    rate_kind: RateKind = "token_bucket"
    rate_burst: int = 0
    """Of the token bucket; 0: as many as `rpm`."""
    rate_window_seconds: float = 60.0
    rate_counts_polls: bool = False
    rate_tells_reset: bool = True
    """Whether answers name the instant at which there is room again."""

    history_lag_seconds: float = 0.0
    """From the submit until its row appears."""
    history_cost_lag_seconds: float = 0.0
    """From the end of the run until the row knows its cost."""
    history_body: Literal["object", "string"] = "object"
    history_adds_defaults: bool = False
    """Rows show the parameters' defaults beside what was sent."""

    strict_catalogue: bool = False
    """Slugs outside the catalogue are 404 instead of running with the default profile."""
    unknown_slugs: tuple[str, ...] = ()
    retired_slugs: tuple[str, ...] = ()
    forbidden_slugs: tuple[str, ...] = ()


FIXED = frozenset({"host", "port", "base_url", "book_path", "seed"})


class ConfigError(ValueError):
    """A change that cannot be made; the message says which name and why."""


def change_config(config: SimulatorConfig, changes: dict[str, Any]) -> None:
    """Apply all of `changes` (names as in SimulatorConfig; `credits` in whole credits too), or raise ConfigError."""
    wanted = dict(changes)
    if "credits" in wanted:
        wanted["credits_micros"] = round(float(wanted.pop("credits")) * MICROS_PER_CREDIT)
    names = {field.name for field in fields(config)} - FIXED
    checked: dict[str, Any] = {}
    for name, value in wanted.items():
        if name not in names:
            raise ConfigError(f"{name}: cannot be changed; known are {', '.join(sorted(names))}")
        checked[name] = _checked(name, getattr(config, name), value)
    for name, value in checked.items():
        setattr(config, name, value)


def _checked(name: str, present: Any, value: Any) -> Any:
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
        fits = value in ("object", "string")
    else:
        whole = isinstance(present, int)
        fits = isinstance(value, int if whole else int | float) and not isinstance(value, bool) and value >= 0
        fits = fits and (value > 0 or name not in ("speed", "rate_window_seconds"))
    if not fits:
        raise ConfigError(f"{name}: {value!r} does not fit; it is {present!r} now")
    return value
