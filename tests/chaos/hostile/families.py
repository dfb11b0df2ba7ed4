"""All attacks there are, and those that are asked for by name."""

from collections.abc import Sequence

from tests.chaos.hostile import bodies, connections, guesses, jobs, reads, refusals, upstream
from tests.chaos.hostile.attack import Attack

ALL: tuple[Attack, ...] = (
    *guesses.ATTACKS,
    *bodies.ATTACKS,
    *refusals.ATTACKS,
    *connections.ATTACKS,
    *reads.ATTACKS,
    *jobs.ATTACKS,
    *upstream.ATTACKS,
)


def chosen(names: Sequence[str]) -> list[Attack]:
    """Those of these families (`bodies`) or of these names (`bodies.integers`); all without a name.

    Raises ValueError, which says what there is.
    """
    known = {attack.name for attack in ALL} | {attack.name.partition(".")[0] for attack in ALL}
    if unknown := set(names) - known:
        raise ValueError(f"no attack {', '.join(sorted(unknown))}; known are {', '.join(sorted(known))}")
    return [one for one in ALL if not names or one.name in names or one.name.partition(".")[0] in names]
