"""How long a poll may be held, against clients that come as they like."""

import heapq
import math
from bisect import bisect_left
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from app.segmind.decide import GONE, HELD_MAX, HELD_MIN, SECOND, PollTimes, held_micros, interval_of

GAPS = st.integers(0, 10 * SECOND)
GAP_LISTS = st.lists(GAPS, min_size=1, max_size=12)


@dataclass
class Store:
    """What the script does in Redis."""

    times: PollTimes | None = None

    def arrived(self) -> PollTimes | None:
        found = self.times
        if found is not None:
            self.times = PollTimes(0, found.intervals)
        return found

    def answered(self, now: int, interval: int | None) -> None:
        last = self.times.intervals[-1:] if self.times is not None else ()
        self.times = PollTimes(now, () if interval is None else (*last, interval))


@dataclass
class Polled:
    """One poll of a client: how long after its previous answer it came (None: its first), and for how long it was held."""

    gap: int | None
    held: int


@dataclass
class Run:
    """Clients of one job and key, each of which waits so long between an answer and its next poll. `lost`: the numbers of
    answers that are not stored. `delay`: how long Redis takes to look at a poll."""

    gaps: list[list[int]]
    lost: frozenset[int] = frozenset()
    delay: int = 0
    store: Store = field(default_factory=Store)
    polled: list[list[Polled]] = field(default_factory=list)

    def play(self) -> list[list[Polled]]:
        self.polled = [[] for _ in self.gaps]
        events = [(SECOND + client, client, 0, -1) for client in range(len(self.gaps))]  # no instant is 0
        answered_at: dict[int, int] = {}
        answers = 0
        while events:
            now, client, number, interval = heapq.heappop(events)
            if interval == -1:  # it arrives
                found = self.store.arrived()
                measured = interval_of(found, now=now + self.delay, waited=self.delay)
                held = held_micros(found, measured)
                self.polled[client].append(Polled(now - answered_at[client] if client in answered_at else None, held))
                ends_at = now + max(held, self.delay)
                heapq.heappush(events, (ends_at, client, number, -2 if measured is None else measured))
                continue
            if answers not in self.lost:
                self.store.answered(now, None if interval == -2 else interval)
            answers += 1
            answered_at[client] = now
            if number < len(self.gaps[client]):
                heapq.heappush(events, (now + self.gaps[client][number], client, number + 1, -1))
        return self.polled


def hold(shortest: int) -> int:
    """What the shortest of three intervals allows."""
    if shortest < HELD_MIN:
        return 0
    return math.ceil(next(shortest / parts for parts in range(1, 20) if shortest <= parts * HELD_MAX))


def held_by(gaps: list[int]) -> list[int]:
    [polled] = Run([gaps]).play()
    return [one.held for one in polled]


@given(GAP_LISTS)
def test_one_client_is_held_by_the_shortest_of_its_last_three_intervals(gaps: list[int]) -> None:
    expected = [0, 0]
    for number in range(2, len(gaps) + 1):
        expected.append(hold(min(gaps[max(0, number - 3) : number])))
    assert held_by(gaps) == expected[: len(gaps) + 1]


def test_a_rhythm_is_the_clients_own_however_long_it_was_held() -> None:
    assert held_by([2 * SECOND] * 20) == [0, 0, *[2 * SECOND] * 19]
    assert held_by([60 * SECOND] * 4) == [0, 0, *[HELD_MAX] * 3]
    assert held_by([5 * SECOND] * 4) == [0, 0, *[5 * SECOND // 2] * 3]
    assert HELD_MAX < 5 * SECOND


def test_who_slows_down_is_held_longer_only_after_three_longer_intervals() -> None:
    one, three = hold(SECOND), hold(3 * SECOND)
    assert held_by([SECOND] * 3 + [3 * SECOND] * 4) == [0, 0, *[one] * 4, three, three]
    assert held_by([3 * SECOND] * 3 + [SECOND]) == [0, 0, three, three, one]


@given(st.lists(GAP_LISTS, min_size=1, max_size=4), st.frozensets(st.integers(0, 40)), st.integers(0, SECOND))
def test_nobody_is_held_longer_than_its_own_interval(gaps: list[list[int]], lost: frozenset[int], delay: int) -> None:
    """However many poll at the same time, however late Redis looks; and of one client alone, whatever is lost."""
    for polled in Run(gaps, lost if len(gaps) == 1 else frozenset(), delay).play():
        for one in polled:
            assert one.held == 0 or HELD_MIN <= one.held <= HELD_MAX
            assert one.gap is None or one.held <= one.gap
        assert len(gaps) > 1 or all(one.held == 0 for one in polled[:2])


@given(GAP_LISTS, GAP_LISTS)
def test_a_second_client_lengthens_no_hold_beyond_the_first_ones_interval(one: list[int], other: list[int]) -> None:
    first, _ = Run([one, other]).play()
    for number, polled in enumerate(first[1:]):
        assert polled.held <= one[number]


@given(st.integers(HELD_MIN, 5 * HELD_MAX), st.integers(5, 50))
def test_a_clients_time_out_is_late_by_one_interval_at_most(interval: int, polls: int) -> None:
    """By wall time: who looks at its clock after each answer looks at most one interval later than without any hold, and is
    kept by us for at most one interval after its time-out. Who counts polls waits less than twice as long."""
    held = held_by([interval] * polls)
    now, looks = 0, []
    for seconds in held:
        now += seconds
        looks.append(now)
        now += interval
    rounded = 5 * polls  # a part of an interval is rounded up to a microsecond
    for timeout in (*range(0, looks[-1], max(1, interval // 7)), *(at + 1 for at in looks[:-1])):
        late = looks[bisect_left(looks, timeout)] - interval * math.ceil(timeout / interval)
        assert late <= interval + rounded
    assert looks[-1] < 2 * interval * (len(held) - 1)


@given(st.lists(st.tuples(GAPS, st.integers(0, HELD_MAX)), min_size=1, max_size=12))
def test_who_hung_up_during_a_hold_is_held_no_more(polls: list[tuple[int, int]]) -> None:
    """So a client misses one answer at most, however short its HTTP time-out, the second number of each poll."""
    store, now, missed = Store(), SECOND, 0
    for gap, timeout in polls:
        found = store.arrived()
        interval = interval_of(found, now=now, waited=0)
        held = held_micros(found, interval)
        assert not (held and missed)
        gone = timeout < held
        missed += gone
        store.answered(now + held, GONE if gone else interval)
        now += held + gap


def test_a_clock_that_was_set_back_holds_nobody() -> None:
    times = PollTimes(10 * SECOND, (SECOND, SECOND))
    interval = interval_of(times, now=5 * SECOND, waited=0)
    assert interval == 0
    assert held_micros(times, interval) == 0
