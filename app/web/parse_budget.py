"""Limit the bytes of JSON that a process parses for each caller, with one bucket per caller.

It protects the processor time of one process, so processes share nothing: with N processes a caller has N buckets. Only
bodies above SMALL_BYTES count, so an ordinary submit is not charged.

A value costs many times more time than a byte of a long text, and a member costs more than a value. A body counts as many
bytes as a text that takes as long to parse (`parse_cost`).
"""

from collections import OrderedDict
from dataclasses import dataclass

from app.core.clock import monotonic
from app.core.errors import Refusal
from app.core.off_loop import INLINE_COST_MAX
from app.core.strict_json import VALUES_MAX

SMALL_BYTES = 8 * 1024
WEIGHTS = {b",": 31, b"[": 100, b"{": 250, b":": 130, b"\\": 16}
"""The additional cost of a value, a list, an object, a member and an escape. Measured: a byte of a text takes about a
nanosecond."""
BURST_BYTES = 64 * 1024 * 1024
BYTES_A_SUBMIT = 400 * 1024
"""For each submit of a caller's rate limit: 600 a minute give 4 MB a second."""
SUBMITS_A_MINUTE_MIN = 600
KNOWN_MAX = 20_000


@dataclass(frozen=True, slots=True)
class Allowance:
    """The owner of a body, and the owner's rate limit in submits a minute."""

    owner: object
    submits_per_minute: int = SUBMITS_A_MINUTE_MIN

    @property
    def bytes_a_second(self) -> float:
        """The rate at which the bucket drains."""
        return max(SUBMITS_A_MINUTE_MIN, self.submits_per_minute) * BYTES_A_SUBMIT / 60


class ParseBudgetExceeded(Refusal):
    """429: this caller has used all the bytes that may be parsed for it."""

    status = 429
    code = "parse_budget"

    def __init__(self, size: int, wait_seconds: float, allowance: Allowance) -> None:
        kilobytes = allowance.bytes_a_second // 1024
        super().__init__(
            f"parse budget exceeded: this body counts as {size // 1024} kB; bodies above {SMALL_BYTES // 1024} kB together may use"
            f" {kilobytes:.0f} kB a second, {BURST_BYTES // 2**20} MB at once",
            retry_after_seconds=int(wait_seconds) + 1,
            extra={"limit": "parse_budget", "bytes_per_second": int(allowance.bytes_a_second), "burst": BURST_BYTES},
        )


class ParseBudgets:
    """The buckets of one process."""

    def __init__(self) -> None:
        # level in bytes, and its instant; the least recently charged are dropped first
        self._levels: OrderedDict[object, tuple[float, float]] = OrderedDict()

    def check(self, allowance: Allowance, size: int) -> None:
        """Raise ParseBudgetExceeded if a body of this size would not be parsed now. Charges nothing."""
        if size > SMALL_BYTES:
            over = self._level(allowance, monotonic()) + size - BURST_BYTES
            if over > 0:
                raise ParseBudgetExceeded(size, over / allowance.bytes_a_second, allowance)

    def used(self, allowance: Allowance) -> float:
        """Return the bytes that are in the bucket now."""
        return self._level(allowance, monotonic())

    def charge(self, allowance: Allowance, size: int) -> None:
        """Charge a body. If it is too much, raises ParseBudgetExceeded and charges nothing."""
        if size > SMALL_BYTES:
            self.check(allowance, size)
            now = monotonic()
            self._levels[allowance.owner] = (self._level(allowance, now) + size, now)
            self._levels.move_to_end(allowance.owner)
            if len(self._levels) > KNOWN_MAX:
                self._levels.popitem(last=False)

    def _level(self, allowance: Allowance, now: float) -> float:
        level, at = self._levels.get(allowance.owner, (0.0, now))
        return max(0.0, level - (now - at) * allowance.bytes_a_second)


def parse_cost(body: bytes) -> int:
    """Return the bytes that a body counts as. JSON's signs inside a text count, too."""
    if len(body) <= SMALL_BYTES:
        return len(body)
    counts = {weight: body.count(weight) for weight in WEIGHTS}
    if counts[b","] + counts[b"["] + counts[b"{"] > VALUES_MAX:  # `parse_object` refuses it after this count
        return len(body)
    return len(body) + sum(weight * counts[item] for item, weight in WEIGHTS.items())


def cost_at_least(body: bytes) -> int:
    """Return a lower bound of `parse_cost` that is enough for `run_sized`. In a long body nothing is counted."""
    return len(body) if len(body) > INLINE_COST_MAX else parse_cost(body)
