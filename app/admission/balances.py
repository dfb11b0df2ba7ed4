"""Balances of the company's account that were read lately: no tenant is to see them in an error of the upstream's."""

from collections.abc import Sequence
from typing import Final

from app.core.db import ReadSession, Session, columns

HOURS: Final = 24
"""For so long a balance that was read is a secret."""
FORGET_MAX: Final = 10_000

_NOTE = "INSERT INTO upstream_balances (micro) SELECT * FROM unnest($1::bigint[]) ON CONFLICT DO NOTHING"

# Which of these ranges hold a balance that was read lately?
_FIND = """
SELECT asked.number FROM unnest($1::integer[], $2::bigint[], $3::bigint[]) AS asked (number, low, high)
WHERE EXISTS (
    SELECT FROM upstream_balances AS kept
    WHERE kept.micro BETWEEN asked.low AND asked.high AND kept.at > now() - make_interval(hours => $4)
)
"""

_FORGET = """
DELETE FROM upstream_balances WHERE (micro, at) IN (
    SELECT micro, at FROM upstream_balances WHERE at < now() - make_interval(hours => $1) ORDER BY at LIMIT $2
)
"""


async def note_balances(session: Session, *, micros: Sequence[int]) -> None:
    """These balances, in micro-credits and without their sign, have been read now. One statement."""
    await session.execute(_NOTE, sorted(set(micros)))


async def find_balances(session: ReadSession, *, ranges: Sequence[tuple[int, int]]) -> set[int]:
    """The positions of those of these ranges, both ends included, that hold a balance of the last HOURS. One statement."""
    asked = [(number, low, high) for number, (low, high) in enumerate(ranges)]
    return {row["number"] for row in await session.fetch(_FIND, *columns(asked, 3), HOURS)}


async def forget_balances(session: Session) -> int:
    """Drop those of longer ago; gives how many, at most FORGET_MAX. One statement."""
    return await session.execute(_FORGET, HOURS, FORGET_MAX)
