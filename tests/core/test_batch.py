"""Batcher: results in order, bad rows alone, lanes, bounds, and callers that go away."""

import asyncio
from collections.abc import Sequence

import asyncpg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core import clock
from app.core.process.batch import LARGE_MAX, Batcher, Overloaded, WriteApart


@settings(max_examples=40, deadline=None)
@given(
    items=st.lists(st.integers(), max_size=60),
    bad=st.sets(st.integers(0, 59), max_size=5),
    size_max=st.integers(1, 20),
    lanes=st.integers(1, 3),
)
def test_each_gets_its_own_result_and_bad_rows_fail_alone(
    items: list[int], bad: set[int], size_max: int, lanes: int
) -> None:
    groups: list[int] = []

    async def flush(group: Sequence[tuple[int, int]]) -> Sequence[int | Exception]:
        groups.append(len(group))
        await asyncio.sleep(0)
        if any(place in bad for place, _ in group):
            raise asyncpg.DataError("bad row")
        return [2 * value for _, value in group]

    async def run() -> list[int | BaseException]:
        batcher = Batcher(flush, size_max=size_max, lanes=lanes)
        puts = [batcher.put((place, value)) for place, value in enumerate(items)]
        results = await asyncio.gather(*puts, return_exceptions=True)
        await batcher.drained()
        return results

    results = asyncio.run(run())
    assert all(size <= size_max for size in groups)
    for place, (value, result) in enumerate(zip(items, results, strict=True)):
        assert isinstance(result, asyncpg.DataError) if place in bad else result == 2 * value


async def test_while_one_group_is_written_the_next_one_gathers() -> None:
    groups: list[list[int]] = []
    gate = asyncio.Event()

    async def flush(group: Sequence[int]) -> Sequence[int]:
        groups.append(list(group))
        await gate.wait()
        return group

    batcher = Batcher(flush, size_max=10)
    waiting = [batcher.post(number) for number in range(25)]
    await asyncio.sleep(0)
    assert groups == [list(range(10))]
    gate.set()
    assert await asyncio.gather(*waiting) == list(range(25))
    assert [len(group) for group in groups] == [10, 10, 5]


async def test_no_more_lanes_than_allowed() -> None:
    busy = most = 0

    async def flush(group: Sequence[int]) -> Sequence[int]:
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        await asyncio.sleep(0.001)
        busy -= 1
        return group

    batcher = Batcher(flush, size_max=1, lanes=3)
    assert await asyncio.gather(*(batcher.put(number) for number in range(30))) == list(range(30))
    assert most == 3


async def test_too_many_waiters_are_turned_away() -> None:
    gate = asyncio.Event()

    async def flush(group: Sequence[int]) -> Sequence[int]:
        await gate.wait()
        return group

    batcher = Batcher(flush, size_max=1, waiting_max=2)
    taken = [batcher.post(1)]
    await asyncio.sleep(0)
    taken += [batcher.post(2), batcher.post(3)]
    with pytest.raises(Overloaded):
        await batcher.put(4)
    gate.set()
    assert await asyncio.gather(*taken) == [1, 2, 3]
    assert await batcher.put(5) == 5


async def test_a_caller_that_goes_away_leaves_its_item_and_harms_nobody() -> None:
    seen: list[int] = []

    async def flush(group: Sequence[int]) -> Sequence[int]:
        seen.extend(group)
        return group

    batcher = Batcher(flush, size_max=10, linger_seconds=0.01)
    first = asyncio.create_task(batcher.put(1))
    second = asyncio.create_task(batcher.put(2))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == 2
    assert seen == [1, 2]
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_an_error_of_the_whole_group_goes_to_everybody() -> None:
    async def flush(group: Sequence[int]) -> Sequence[int]:
        raise RuntimeError(f"group of {len(group)}")

    batcher = Batcher(flush, size_max=10)
    results = await asyncio.gather(*(batcher.put(number) for number in range(3)), return_exceptions=True)
    assert [str(result) for result in results] == ["group of 3"] * 3


async def test_an_item_may_have_an_error_of_its_own() -> None:
    async def flush(group: Sequence[int]) -> Sequence[int | Exception]:
        return [KeyError(number) if number % 2 else number for number in group]

    batcher = Batcher(flush, size_max=10)
    results = await asyncio.gather(*(batcher.put(number) for number in range(4)), return_exceptions=True)
    assert [isinstance(result, KeyError) for result in results] == [False, True, False, True]


async def test_whoever_posts_again_on_its_answer_is_not_forgotten() -> None:
    async def flush(group: Sequence[int]) -> Sequence[int]:
        return group

    batcher = Batcher(flush, size_max=10)
    async with asyncio.timeout(60):
        assert [await batcher.put(number) for number in range(100)] == list(range(100))
    await batcher.drained()


async def test_a_key_is_in_one_group_at_a_time_and_delays_no_other() -> None:
    under_way: list[set[str]] = []
    groups: list[list[str]] = []
    gates = [asyncio.Event() for _ in range(3)]

    async def flush(group: Sequence[str]) -> Sequence[str]:
        keys = {item[0] for item in group}
        assert all(not keys & others for others in under_way)
        under_way.append(keys)
        groups.append(list(group))
        await gates[len(groups) - 1].wait()
        under_way.remove(keys)
        return group

    batcher = Batcher(flush, size_max=3, lanes=2, key=lambda item: item[0])
    flood = [batcher.post(f"a{number}") for number in range(6)]
    await asyncio.sleep(0.01)
    other = batcher.post("b0")
    await asyncio.sleep(0.01)
    assert groups == [["a0", "a1", "a2"], ["b0"]], "the second lane is free for whoever is no part of the flood"
    gates[1].set()
    assert await other == "b0"
    later = [batcher.post(item) for item in ("c0", "c1")]
    gates[0].set()
    gates[2].set()
    gates.append(asyncio.Event())
    gates[3].set()
    gates.append(gates[3])
    assert await asyncio.gather(*flood, *later) == ["a0", "a1", "a2", "a3", "a4", "a5", "c0", "c1"]
    await batcher.drained()


async def test_keys_take_turns_in_a_group() -> None:
    groups: list[list[str]] = []

    async def flush(group: Sequence[str]) -> Sequence[str]:
        groups.append(list(group))
        return group

    batcher = Batcher(flush, size_max=4, key=lambda item: item[0])
    posted = [batcher.post(item) for item in ("a0", "a1", "a2", "a3", "a4", "b0", "c0", "c1")]
    await asyncio.gather(*posted)
    assert groups == [["a0", "b0", "c0", "a1"], ["c1", "a2", "a3", "a4"]]


async def test_keys_take_turns_from_group_to_group() -> None:
    groups: list[list[str]] = []

    async def flush(group: Sequence[str]) -> Sequence[str]:
        groups.append(list(group))
        return group

    batcher = Batcher(flush, size_max=2, key=lambda item: item[0])
    posted = [batcher.post(f"{key}{number}") for key in "abc" for number in range(2)]
    await asyncio.gather(*posted)
    assert groups == [["a0", "b0"], ["c0", "a1"], ["b1", "c1"]], "c is not passed over while a and b have more"


async def test_one_key_leaves_room_for_others() -> None:
    gate = asyncio.Event()

    async def flush(group: Sequence[str]) -> Sequence[str]:
        await gate.wait()
        return group

    batcher = Batcher(flush, size_max=1, waiting_max=8, key=lambda item: item[0])
    posted = [batcher.post("a0")]
    await asyncio.sleep(0)  # it is under way, and waits no more
    posted += [batcher.post(f"a{number}") for number in range(1, 5)]
    with pytest.raises(Overloaded):
        batcher.post("a5")
    posted += [batcher.post(f"b{number}") for number in range(2)]
    with pytest.raises(Overloaded):
        batcher.post("b2")
    posted.append(batcher.post("c0"))
    gate.set()
    assert len(await asyncio.gather(*posted)) == 8


async def test_a_large_item_is_written_alone_and_delays_no_other_key() -> None:
    groups: list[list[str]] = []
    gate = asyncio.Event()

    async def flush(group: Sequence[str]) -> Sequence[str]:
        groups.append(list(group))
        if "aLARGE" in group:
            await gate.wait()
        return group

    batcher = Batcher(flush, size_max=10, key=lambda item: item[0], large=lambda item: "LARGE" in item)
    of_a = [batcher.post(item) for item in ("a0", "aLARGE", "a1")]
    assert await asyncio.gather(batcher.post("b0"), of_a[0]) == ["b0", "a0"]
    assert await batcher.put("b1") == "b1"
    assert not of_a[1].done()
    assert not of_a[2].done(), "the items of a key are in one group at a time"
    gate.set()
    assert await asyncio.gather(*of_a) == ["a0", "aLARGE", "a1"]
    assert groups == [["a0", "b0"], ["aLARGE"], ["b1"], ["a1"]]
    await batcher.drained()


async def test_only_so_many_large_items_are_written_at_a_time() -> None:
    busy = most = 0

    async def flush(group: Sequence[int]) -> Sequence[int]:
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        await asyncio.sleep(0)
        busy -= 1
        return group

    batcher = Batcher(flush, size_max=10, key=lambda item: item, large=lambda item: item >= 0)
    assert await asyncio.gather(*(batcher.put(number) for number in range(30))) == list(range(30))
    await batcher.drained()
    assert most == LARGE_MAX


async def test_what_is_to_be_written_apart_delays_no_other_key() -> None:
    groups: list[list[str]] = []
    gate = asyncio.Event()

    async def flush(group: Sequence[str]) -> Sequence[str | WriteApart]:
        groups.append(list(group))
        if {item[0] for item in group} == {"a"}:
            await gate.wait()
            return group
        return [WriteApart(TimeoutError()) if item[0] == "a" else item for item in group]

    batcher = Batcher(flush, size_max=10, key=lambda item: item[0])
    slow = [batcher.post(item) for item in ("a0", "a1")]
    assert await batcher.post("b0") == "b0"
    slow.append(batcher.post("a2"))
    assert await batcher.put("b1") == "b1"
    assert groups == [["a0", "b0", "a1"], ["a0", "a1"], ["b1"]]
    gate.set()
    assert await asyncio.gather(*slow) == ["a0", "a1", "a2"]
    assert groups[3:] == [["a2"]]
    await batcher.drained()


async def test_groups_begin_a_pause_apart() -> None:
    begun_at: list[float] = []

    async def flush(group: Sequence[int]) -> Sequence[int]:
        begun_at.append(clock.monotonic())
        return group

    batcher = Batcher(flush, size_max=10, pause_seconds=0.05)
    for number in range(3):
        assert await batcher.put(number) == number
    first, second, third = begun_at
    assert min(second - first, third - second) >= 0.05


async def test_what_comes_after_a_rest_and_what_fills_a_group_pause_for_nothing() -> None:
    groups: list[list[int]] = []

    async def flush(group: Sequence[int]) -> Sequence[int]:
        groups.append(list(group))
        return group

    batcher = Batcher(flush, size_max=2, pause_seconds=3600)
    assert await batcher.put(0) == 0
    assert await asyncio.gather(*map(batcher.put, (1, 2))) == [1, 2]
    assert groups == [[0], [1, 2]]


async def test_nobody_waits_for_company_that_will_not_come() -> None:
    groups: list[list[int]] = []

    async def flush(group: Sequence[int]) -> Sequence[int]:
        groups.append(list(group))
        return group

    coming = False
    batcher = Batcher(flush, size_max=2, linger_seconds=60.0, coming=lambda: coming)
    assert await asyncio.wait_for(batcher.put(1), 50) == 1
    batcher = Batcher(flush, size_max=2, linger_seconds=0.2, coming=lambda: coming)
    coming = True
    first = batcher.post(2)
    await asyncio.sleep(0)
    second = batcher.post(3)
    assert await asyncio.gather(first, second) == [2, 3]
    assert groups == [[1], [2, 3]]
