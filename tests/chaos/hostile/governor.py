"""What the hostile process allows itself: requests a second, bytes a second, and a share of one core."""

import asyncio
import time
from typing import Final

FEW_BYTES: Final = 4_096


class Pace:
    """Grants amounts one after the other at a steady rate; what is not used is lost."""

    def __init__(self, per_second: float) -> None:
        self._per_second = per_second
        self._free_at = time.monotonic()

    def seconds_until(self, amount: float) -> float:
        """Reserve the amount; the seconds to wait for it."""
        now = time.monotonic()
        granted_at = max(self._free_at, now)
        self._free_at = granted_at + amount / self._per_second
        return granted_at - now


class CpuShare:
    """Keeps this process below a share of one core, but for one second's share at once."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._looked_at, self._used = time.monotonic(), time.process_time()
        self._over_seconds = 0.0

    def seconds_until(self) -> float:
        """How long to stay idle."""
        now, used = time.monotonic(), time.process_time()
        over = self._over_seconds + (used - self._used) - self._share * (now - self._looked_at)
        self._over_seconds = max(over, -self._share)
        self._looked_at, self._used = now, used
        return max(self._over_seconds, 0.0) / self._share


class Governor:
    """Asked before each request and before each piece of one that is sent."""

    def __init__(self, *, requests_per_second: float, bytes_per_second: float, cpu_share: float) -> None:
        self._requests = Pace(requests_per_second)
        self._bytes = Pace(bytes_per_second)
        self._cpu = CpuShare(cpu_share)
        self._began_at, self._began_cpu = time.monotonic(), time.process_time()
        self.requests = self.bytes = 0

    async def request(self) -> None:
        """Wait until one more request may begin."""
        await asyncio.sleep(self._requests.seconds_until(1))
        # others work while this one sleeps, so it may have to sleep again
        for seconds in iter(self._cpu.seconds_until, 0.0):
            await asyncio.sleep(seconds)
        self.requests += 1

    async def send(self, size: int) -> None:
        """Wait until so many bytes may be sent; a few go at once, and what comes behind them waits the longer."""
        seconds = self._bytes.seconds_until(size)
        if size > FEW_BYTES:
            await asyncio.sleep(seconds)
        self.bytes += size

    def figures(self) -> dict[str, float]:
        """What was used: per second, and of a core."""
        seconds = time.monotonic() - self._began_at
        return {
            "seconds": seconds,
            "requests_per_second": self.requests / seconds,
            "bytes_per_second": self.bytes / seconds,
            "cpu_share": (time.process_time() - self._began_cpu) / seconds,
        }
