"""Bodies that are dear to read: long integers, deep nesting, many values, huge members; most of them are refused."""

from collections.abc import Callable
from functools import cache

from tests.chaos.hostile.attack import Attack, Attacker, Do, Line, Told

MODEL = "bad-plain"
DIGITS = 3_999


@cache
def integers() -> bytes:
    """10 MB of 2,500 integers of 3,999 digits each."""
    return b'{"numbers":[%b]}' % b",".join([b"9" * DIGITS] * 2_500)


@cache
def nested() -> bytes:
    """1 MB of arrays in arrays."""
    return b'{"a":%b%b}' % (b"[" * 500_000, b"]" * 500_000)


@cache
def values() -> bytes:
    """A hundred thousand values less a few, of two bytes each."""
    return b'{"a":[%b0]}' % (b"0," * 99_000)


@cache
def too_many_values() -> bytes:
    """2 MB of a million values."""
    return b'{"a":[%b0]}' % (b"0," * 1_000_000)


@cache
def members() -> bytes:
    """Fifty thousand members with names of their own."""
    return b"{%b}" % b",".join(b'"member%d":0' % number for number in range(50_000))


@cache
def twins() -> bytes:
    """A member that is there twice, behind fifty thousand others."""
    return members()[:-1] + b',"member0":0}'


@cache
def escapes() -> bytes:
    """3 MB of escapes in one string."""
    return b'{"prompt":"%b"}' % (rb"\u00e9" * 500_000)


@cache
def exponents() -> bytes:
    """Fifty thousand floats that are too large for a double."""
    return b'{"a":[%b0]}' % (b"1e999999," * 50_000)


def _submit(make: Callable[[], bytes]) -> Do:
    async def do(attacker: Attacker, line: Line) -> Told:
        if attacker.chance.random() < 0.5:
            return await line.ask("POST", f"/v2/{MODEL}", make())
        return await line.ask("POST", "/api/v1/jobs", b'{"model":"%b","input":%b}' % (MODEL.encode(), make()))

    return do


ATTACKS = tuple(
    Attack(f"bodies.{make.__name__}", _submit(make))
    for make in (integers, nested, values, too_many_values, members, twins, escapes, exponents)
)
