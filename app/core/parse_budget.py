"""How many bytes of JSON a caller may have parsed: a bucket for each, kept by each process for itself.

What it protects is the processor time of one process, so nothing is shared: with N processes a caller has N buckets. Only
bodies above SMALL_BYTES count, so an ordinary submit costs nothing here.

A value costs many times more than a byte of a long text, and a member still more: a body counts as many bytes as there are
in a text that takes as long to read (`parse_cost`).
"""

from collections import OrderedDict
from dataclasses import dataclass

from app.core.clock import monotonic
from app.core.errors import Refusal
from app.core.off_loop import INLINE_COST_MAX
from app.core.strict_json import VALUES_MAX

SMALL_BYTES = 8 * 1024
WEIGHTS = {b",": 31, b"[": 100, b"{": 250, b":": 130, b"\\": 16}
"""What each of these costs beside its own byte: a value, a list, an object, a member, an escape. Measured: a byte of a text
takes about a nanosecond."""
BURST_BYTES = 64 * 1024 * 1024
BYTES_A_SUBMIT = 400 * 1024
"""For each submit of a caller's rate: 600 a minute are 4 MB a second."""
SUBMITS_A_MINUTE_MIN = 600
KNOWN_MAX = 20_000


@dataclass(frozen=True, slots=True)
class Allowance:
    """Whose body it is, and how many submits a minute they may make."""

    owner: object
    submits_per_minute: int = SUBMITS_A_MINUTE_MIN

    @property
    def bytes_a_second(self) -> float:
        """How fast the bucket drains."""
        return max(SUBMITS_A_MINUTE_MIN, self.submits_per_minute) * BYTES_A_SUBMIT / 60


class ParseBudgetExceeded(Refusal):
    """429: this caller has had as many bytes parsed as it may."""

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
        # how full, in bytes, and when; the least recently used go first
        self._levels: OrderedDict[object, tuple[float, float]] = OrderedDict()

    def check(self, allowance: Allowance, size: int) -> None:
        """Raises ParseBudgetExceeded where a body of this size would not be parsed just now. Charges nothing."""
        if size > SMALL_BYTES:
            over = self._level(allowance, monotonic()) + size - BURST_BYTES
            if over > 0:
                raise ParseBudgetExceeded(size, over / allowance.bytes_a_second, allowance)

    def used(self, allowance: Allowance) -> float:
        """Bytes that are in the bucket just now."""
        return self._level(allowance, monotonic())

    def charge(self, allowance: Allowance, size: int) -> None:
        """Charge what is parsed; raises ParseBudgetExceeded and charges nothing where that is too much."""
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
    """The bytes that a body counts as. What looks like a part of JSON within a text is taken for one."""
    if len(body) <= SMALL_BYTES:
        return len(body)
    counts = {one: body.count(one) for one in WEIGHTS}
    if counts[b","] + counts[b"["] + counts[b"{"] > VALUES_MAX:  # it is refused as soon as they are counted
        return len(body)
    return len(body) + sum(weight * counts[one] for one, weight in WEIGHTS.items())


def cost_at_least(body: bytes) -> int:
    """As much of `parse_cost` as `run_sized` asks for: nothing is counted in a body that is long anyway."""
    return len(body) if len(body) > INLINE_COST_MAX else parse_cost(body)
