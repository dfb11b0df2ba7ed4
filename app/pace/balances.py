"""Balances of the company's account that were read lately: no tenant is to see them in an error of the upstream's."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from app.core.database.session import ReadSession, Session
from app.core.database.sql import SqlFolder, columns_of

HOURS: Final = 24
"""For so long a balance that was read is a secret."""
FORGET_MAX: Final = 10_000

_SQL = SqlFolder(__file__)
_NOTE = _SQL.command("note_balances")
_FIND = _SQL.query("find_balances", int)
_FORGET = _SQL.command("forget_balances")


class _Range(NamedTuple):
    """As `find_balances.sql` asks for it."""

    number: int
    low: int
    high: int


async def note_balances(session: Session, *, micros: Sequence[int]) -> None:
    """These balances, in micro-credits and without their sign, have been read now. One statement."""
    await session.run(_NOTE, micros=sorted(set(micros)))


async def find_balances(session: ReadSession, *, ranges: Sequence[tuple[int, int]]) -> set[int]:
    """The positions of those of these ranges, both ends included, that hold a balance of the last HOURS. One statement."""
    asked = [_Range(number, low, high) for number, (low, high) in enumerate(ranges)]
    return set(await session.values(_FIND, **columns_of(_Range, asked), hours=HOURS))


async def forget_balances(session: Session) -> int:
    """Drop those of longer ago; gives how many, at most FORGET_MAX. One statement."""
    return await session.run(_FORGET, hours=HOURS, most=FORGET_MAX)
