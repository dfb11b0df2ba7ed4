"""Read and parse bodies of requests, within limits of memory and bytes. A thread parses large ones."""

from typing import Any

from starlette.requests import Request

from app.core.errors import Malformed, Refusal
from app.core.off_loop import run_sized
from app.core.strict_json import JsonInvalid, parse_object, without_bom
from app.web.body_memory import SMALL_BYTES, BodyMemory, BodyMemoryFull, Incoming
from app.web.parse_budget import Allowance, ParseBudgetExceeded, ParseBudgets, parse_cost
from app.web.requests import BODY_BYTES_MAX, CUT, BodyTooLarge, BodyTooSlow, MediaTypeUnsupported, checked_length

BODY_REFUSED: tuple[type[Refusal], ...] = (
    Malformed, JsonInvalid, MediaTypeUnsupported, BodyTooLarge, BodyTooSlow, BodyMemoryFull, ParseBudgetExceeded,
)  # fmt: skip
"""The refusals that `Bodies.read` and `Bodies.parse` raise."""


class Bodies:
    """Reads and parses the bodies of one API process."""

    def __init__(self) -> None:
        self.memory = BodyMemory()
        self._budgets = ParseBudgets()

    async def read(self, request: Request, allowance: Allowance) -> bytes:
        """Return the body of a JSON request, without a byte order mark.

        Raises Malformed if it ends early, MediaTypeUnsupported, BodyTooLarge, BodyTooSlow, BodyMemoryFull,
        ParseBudgetExceeded. A Content-Length is checked before the body is read.
        """
        self._budgets.check(allowance, checked_length(request.headers))
        return await self.read_any(request, allowance)

    async def read_any(self, request: Request, allowance: Allowance, *, bytes_max: int = BODY_BYTES_MAX) -> bytes:
        """Like `read`, for any media type and without a check of the headers."""
        message = await request.receive()
        body: bytes = message.get("body", b"")
        if message["type"] == "http.disconnect":
            raise Malformed("the request body is incomplete")
        if message.get("more_body") or len(body) > SMALL_BYTES:
            return await self._rest(request, allowance, body, bool(message.get("more_body")), bytes_max)
        _check_whole(request)
        return without_bom(body)

    async def _rest(self, request: Request, allowance: Allowance, first: bytes, more: bool, bytes_max: int) -> bytes:
        with Incoming(self.memory, allowance.owner) as incoming:
            size = incoming.add(first)
            while more and size <= bytes_max:
                message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise Malformed("the request body is incomplete")
                size = incoming.add(message.get("body", b""))
                more = message.get("more_body", False)
            if size > bytes_max:
                raise BodyTooLarge(bytes_max)
            _check_whole(request)
            return without_bom(incoming.whole())

    async def parse(self, body: bytes, allowance: Allowance, *, what: str = "the body") -> dict[str, Any]:
        """Parse a JSON object. `what`: how errors call it. Raises JsonInvalid, ParseBudgetExceeded."""
        cost = await run_sized(len(body), parse_cost, body)
        self._budgets.charge(allowance, cost)
        return await run_sized(cost, parse_object, body, what)


def _check_whole(request: Request) -> None:
    """Raise the reason for which the body was cut off, if it was."""
    cut: Refusal | None = request.scope.get("state", {}).get(CUT)
    if cut is not None:
        raise cut
