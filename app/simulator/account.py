"""The paying account: its balance, its reserved credits, and its rate limit."""

from collections import deque
from typing import Literal

from app.simulator.config import SimulatorConfig


class Account:
    """The credits of the account, in micro-credits.

    A run's price is reserved at its submit and charged once at its end. If the run fails, it is returned in full.
    The balance is in `config.credits_micros`, where it can be changed from outside.
    """

    def __init__(self, config: SimulatorConfig) -> None:
        self._config = config
        self.reserved_micros = 0
        self.spent_micros = 0

    @property
    def balance_micros(self) -> int:
        return self._config.credits_micros

    def can_reserve(self, micros: int) -> bool:
        """Whether this amount is neither spent nor reserved."""
        return self.balance_micros - self.reserved_micros >= micros

    def over_spend_limit(self) -> bool:
        """Whether the team's spend cap is reached."""
        limit = self._config.spend_limit_micros
        return limit is not None and self.spent_micros >= limit

    def reserve(self, micros: int) -> None:
        self.reserved_micros += micros

    def settle(self, reserved_micros: int, cost_micros: int) -> int:
        """Release a reservation and charge the cost (0 if the run failed). Returns the new balance."""
        self.reserved_micros -= reserved_micros
        self.spent_micros += cost_micros
        self._config.credits_micros -= cost_micros
        return self._config.credits_micros


class RateLimit:
    """A rate limit that counts in one of three ways. It reads its settings from `config` at each request."""

    def __init__(self, config: SimulatorConfig, setting: Literal["rpm", "history_rpm"] = "rpm") -> None:
        """`setting`: which of the settings is its number of requests. `rate_burst` belongs to `rpm` alone."""
        self._config = config
        self._setting = setting
        self._tokens = -1.0
        self._refilled_at = 0.0
        self._recent: deque[float] = deque()
        self._window = -1
        self._used = 0

    @property
    def rpm(self) -> int:
        """The number of requests per window. 0: no limit."""
        return self._config.rpm if self._setting == "rpm" else self._config.history_rpm

    @property
    def _burst(self) -> int:
        return (self._config.rate_burst if self._setting == "rpm" else 0) or self.rpm

    def refused_until(self, now: float) -> float | None:
        """Count a request and return None, or return the instant from which a request would be accepted."""
        config = self._config
        if self.rpm <= 0:
            return None
        if config.rate_kind == "token_bucket":
            return self._token_bucket(now)
        if config.rate_kind == "sliding_minute":
            return self._sliding_minute(now)
        return self._fixed_minute(now)

    def resets_at(self, now: float) -> float | None:
        """When the whole limit is free again if no request comes; None without a limit."""
        config = self._config
        if self.rpm <= 0:
            return None
        if config.rate_kind == "token_bucket":
            missing = self._burst - max(self._tokens, 0)
            return now + missing * config.rate_window_seconds / self.rpm
        if config.rate_kind == "sliding_minute":
            return (self._recent[-1] if self._recent else now) + config.rate_window_seconds
        return (now // config.rate_window_seconds + 1) * config.rate_window_seconds

    def _token_bucket(self, now: float) -> float | None:
        burst = self._burst
        per_second = self.rpm / self._config.rate_window_seconds
        if self._tokens < 0:
            self._tokens = burst
        else:
            self._tokens = min(burst, self._tokens + (now - self._refilled_at) * per_second)
        self._refilled_at = now
        if self._tokens >= 1:
            self._tokens -= 1
            return None
        return now + (1 - self._tokens) / per_second

    def _sliding_minute(self, now: float) -> float | None:
        recent, config = self._recent, self._config
        while recent and recent[0] <= now - config.rate_window_seconds:
            recent.popleft()
        if len(recent) < self.rpm:
            recent.append(now)
            return None
        return recent[len(recent) - self.rpm] + config.rate_window_seconds

    def _fixed_minute(self, now: float) -> float | None:
        config = self._config
        window = int(now // config.rate_window_seconds)
        if window != self._window:
            self._window, self._used = window, 0
        if self._used < self.rpm:
            self._used += 1
            return None
        return (window + 1) * config.rate_window_seconds
