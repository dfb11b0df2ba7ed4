"""Recent balances of the company's account, which no tenant may see in an error of the upstream."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from app.core.database.session import ReadSession, Session
from app.core.database.sql import SqlFolder, columns_of

HOURS: Final = 24
"""How long a balance stays secret."""
FORGET_MAX: Final = 10_000

_SQL = SqlFolder(__file__)
_NOTE = _SQL.command("note_balances")
_FIND = _SQL.query("find_balances", int)
_FORGET = _SQL.command("forget_balances")


class _Range(NamedTuple):
    """A parameter row of `find_balances.sql`."""

    number: int
    low: int
    high: int


async def note_balances(session: Session, *, micros: Sequence[int]) -> None:
    """Store these balances as read now, in micro-credits, unsigned. One statement."""
    await session.run(_NOTE, micros=sorted(set(micros)))


async def find_balances(session: ReadSession, *, ranges: Sequence[tuple[int, int]]) -> set[int]:
    """Return the positions of the ranges (both ends included) that contain a balance of the last HOURS. One statement."""
    asked = [_Range(number, low, high) for number, (low, high) in enumerate(ranges)]
    return set(await session.values(_FIND, **columns_of(_Range, asked), hours=HOURS))


async def forget_balances(session: Session) -> int:
    """Delete older balances. Returns how many, at most FORGET_MAX. One statement."""
    return await session.run(_FORGET, hours=HOURS, most=FORGET_MAX)
