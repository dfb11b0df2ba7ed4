"""Reads the company's credits at the upstream. For operators only."""

from collections.abc import Callable
from dataclasses import dataclass
from ssl import SSLContext
from typing import Any, Final

from app.http_client.caller import Caller, Limits
from app.upstream.readings import NotRead, get_json, micro

BODY_BYTES_MAX: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class UpstreamCredits:
    """A balance in micro-credits. The upstream gave `free_micro` away; they are spent like the others."""

    paid_micro: int
    free_micro: int

    @property
    def balances(self) -> set[int]:
        """The amounts that no tenant may see, without their sign."""
        return {abs(self.paid_micro), abs(self.free_micro), abs(self.total_micro)}

    @property
    def total_micro(self) -> int:
        """All credits that can be spent."""
        return self.paid_micro + self.free_micro


class AccountClient:
    """Reads the balance, one request at a time. Calls `on_read` with each balance."""

    def __init__(
        self,
        *,
        url: str,
        api_key: str,
        seconds: float = 30,
        ssl_context: SSLContext | None = None,
        proxy: str | None = None,
        on_read: Callable[[UpstreamCredits], None] = lambda _: None,
    ) -> None:
        self._on_read = on_read
        self._caller = Caller(
            url,
            headers={"x-api-key": api_key},
            connections_max=1,
            keep_alive=False,
            limits=Limits(min(seconds, 5), seconds, seconds, BODY_BYTES_MAX),
            ssl_context=ssl_context,
            proxy=proxy,
        )

    async def credits(self) -> UpstreamCredits | None:
        """Return the current balance, or None if the upstream has no record of it. Raises NotRead."""
        answer = await get_json(self._caller, "/v1/get-user-credits")
        if answer is None:
            return None
        credits = read_credits(answer)
        self._on_read(credits)
        return credits

    async def close(self) -> None:
        """Close the connection."""
        await self._caller.close()


def read_credits(answer: Any) -> UpstreamCredits:
    """Read `{"credits": 12.5, "free-credits": 0.018}`. Raises NotRead if it has no balance. A balance may be below zero."""
    if not isinstance(answer, dict) or "credits" not in answer:
        raise NotRead("no_credits", transient=False)
    paid, free = _signed(answer["credits"]), _signed(answer.get("free-credits") or 0)
    if paid is None or free is None:
        raise NotRead("no_credits", transient=False)
    return UpstreamCredits(paid, free)


def _signed(value: Any) -> int | None:
    found = micro(value)
    if found is not None or isinstance(value, bool):
        return found
    try:
        below = micro(-value)
    except TypeError:
        return None
    return None if below is None else -below
