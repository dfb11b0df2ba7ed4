"""Whose jobs go next, without a database."""

import itertools
import math
from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from app.jobs.claiming.fair_queue import (
    PASSED_MAX,
    Candidate,
    Choice,
    Parked,
    Queue,
    choose,
    next_virtual_time,
    parked_seen,
    take_turns,
    virtual_times,
)

BEGAN_AT = datetime(2030, 1, 1, tzinfo=UTC)
_numbers = itertools.count(1)


def tenant(number: int, **fields: object) -> Queue:
    """A tenant's queue: hundred jobs in line, no limit."""
    one = Queue(UUID(int=number), UUID(int=number), 1.0, 0.0, None, 100, 0, 0, False)
    return one._replace(**fields)  # type: ignore[arg-type]


def key_of(owner: Queue, number: int, **fields: object) -> Queue:
    """The queue of a key with a limit of its own."""
    return owner._replace(subject_id=UUID(int=number), **fields)  # type: ignore[arg-type]


def job(
    owner: Queue, *, cost: int = 1_000, key: Queue | None = None, suspect: bool = False, age: float = 0.0
) -> Candidate:
    """A job in line; one without an age comes after those made before it."""
    number = next(_numbers)
    rank_at = BEGAN_AT + timedelta(seconds=number) if not age else BEGAN_AT - timedelta(seconds=age)
    key_id = None if key is None else key.subject_id
    return Candidate(UUID(int=number), owner.tenant_id, key_id, rank_at, suspect, cost)


def parked_job(key: Queue, age: float) -> Parked:
    """A job that is out of line."""
    return Parked(UUID(int=next(_numbers)), key.tenant_id, key.subject_id, BEGAN_AT - timedelta(seconds=age))


def claim(
    queues: list[Queue],
    candidates: list[Candidate],
    *,
    most: int,
    parked: list[Parked] | None = None,
    passed_at: float = math.inf,
) -> Choice:
    """As a claim does that has seen all of these."""
    turns = take_turns(queues, jobs_max=most, looked_at=sum(not one.is_key for one in queues), virtual_time=0.0)
    keys = {one.subject_id: one for one in queues if one.is_key}
    return choose(turns, keys=keys, candidates=candidates, parked=parked or [], jobs_max=most, passed_at=passed_at)


def ids(choice: Choice) -> list[UUID]:
    return [one.job.id for one in choice.chosen]


def test_room_is_what_is_in_line_and_may_be_under_way() -> None:
    queues = [
        tenant(1, ready=9, claimed=2), tenant(2, max_in_flight=10, in_flight=4, claimed=3),
        tenant(3, max_in_flight=2, in_flight=5), tenant(4, ready=0),
    ]  # fmt: skip
    assert [turn.room for turn in take_turns(queues, jobs_max=64, looked_at=4, virtual_time=0.0)] == [7, 3, 0, 0]


def test_each_tenant_is_looked_at_for_its_share_and_one_job_more() -> None:
    queues = [tenant(number) for number in range(1, 5)]
    shares = [
        {turn.share for turn in take_turns(queues, jobs_max=most, looked_at=4, virtual_time=0.0)} for most in (1, 3, 64)
    ]
    assert shares == [{1}, {1}, {17}]


def test_of_tenants_with_a_key_at_its_limit_more_is_looked_at() -> None:
    one, two = tenant(1), tenant(2)
    full = key_of(one, 11, max_in_flight=3, in_flight=1, ready=3)
    roomy = key_of(two, 12, max_in_flight=3, in_flight=1, ready=2)
    seen = [turn.seen for turn in take_turns([one, two, full, roomy], jobs_max=2, looked_at=2, virtual_time=0.0)]
    assert seen == [2 + PASSED_MAX, 2]


def test_who_had_nothing_to_send_begins_where_the_others_are() -> None:
    [turn, ahead] = take_turns([tenant(1), tenant(2, virtual_time=9.0)], jobs_max=1, looked_at=2, virtual_time=5.0)
    assert (turn.begins_at, ahead.begins_at) == (5.0, 9.0)


def test_jobs_go_in_the_order_in_which_a_shared_server_would_begin_them() -> None:
    """Weights 1 and 2: the second tenant's jobs, as dear as the first's, begin twice as often."""
    light, heavy = tenant(1), tenant(2, weight=2.0)
    first = [job(light) for _ in range(5)]
    second = [job(heavy) for _ in range(5)]
    chosen = claim([light, heavy], first + second, most=6).chosen
    assert [(one.job.tenant_id.int, one.begins_at) for one in chosen] == [
        (1, 0.0), (2, 0.0), (2, 500.0), (1, 1000.0), (2, 1000.0), (2, 1500.0)
    ]  # fmt: skip


def test_nothing_goes_beyond_the_horizon() -> None:
    """Of the cheap one four jobs were looked at, and it has more: the dear one's second begins after those."""
    cheap, dear = tenant(1), tenant(2)
    candidates = [job(cheap, cost=1_000) for _ in range(4)] + [job(dear, cost=9_000) for _ in range(4)]
    choice = claim([cheap, dear], candidates, most=6)
    assert Counter(one.job.tenant_id.int for one in choice.chosen) == {1: 4, 2: 1}
    assert next_virtual_time(_turns([cheap, dear], 6), choice.chosen, unseen=[]) == 4_000.0


def _turns(queues: list[Queue], most: int) -> list:  # type: ignore[type-arg]
    return take_turns(queues, jobs_max=most, looked_at=len(queues), virtual_time=0.0)


def test_of_several_suspects_the_first_goes() -> None:
    one, two = tenant(1), tenant(2)
    sound = [job(one), job(two)]
    suspects = [job(one, suspect=True, age=5), job(two, suspect=True, age=9), job(two, suspect=True, age=7)]
    choice = claim([one, two], sound + suspects, most=64)
    assert set(ids(choice)) == {sound[0].id, sound[1].id, suspects[1].id}


def test_jobs_of_a_key_without_room_are_parked_and_those_of_others_go() -> None:
    one = tenant(1)
    key = key_of(one, 11, max_in_flight=3, in_flight=1, ready=5)
    limited = [job(one, key=key) for _ in range(4)]
    free = job(one)
    choice = claim([one, key], [*limited, free], most=64)
    assert ids(choice) == [limited[0].id, limited[1].id, free.id]
    assert [parked.id for parked in choice.parked] == [limited[2].id, limited[3].id]
    assert choice.back == []


def test_parked_jobs_come_back_oldest_first_and_before_younger_ones_in_line() -> None:
    one = tenant(1)
    key = key_of(one, 11, max_in_flight=2, in_flight=0, ready=2, kept_out=True)
    young, younger = job(one, key=key), job(one, key=key)
    old, older = parked_job(key, 50), parked_job(key, 60)
    choice = claim([one, key], [young, younger], most=64, parked=[old, older])
    assert (ids(choice), [back.id for back in choice.back]) == ([], [older.id, old.id])
    assert [parked.id for parked in choice.parked] == [young.id, younger.id]


def test_no_more_come_back_than_find_room() -> None:
    one = tenant(1)
    key = key_of(one, 11, max_in_flight=3, in_flight=1, ready=1, kept_out=True)
    parked = [parked_job(key, age) for age in (10, 30, 20)]
    choice = claim([one, key], [], most=64, parked=parked)
    assert [back.id for back in choice.back] == [parked[1].id]
    freed = claim([one, key._replace(max_in_flight=None)], [], most=64, parked=parked)
    assert len(freed.back) == 3


def test_parked_jobs_are_looked_at_where_the_key_has_room() -> None:
    key = key_of(tenant(1), 11, max_in_flight=7, in_flight=2, kept_out=True)
    assert parked_seen(key, jobs_max=64) == 5
    assert parked_seen(key._replace(max_in_flight=None), jobs_max=64) == 64 + PASSED_MAX
    assert parked_seen(key._replace(in_flight=9), jobs_max=64) == 0
    assert parked_seen(key._replace(kept_out=False), jobs_max=64) == 0


def test_tenants_and_keys_come_to_the_end_of_their_last_job() -> None:
    one = tenant(1, virtual_time=7.0)
    key = key_of(one, 11, max_in_flight=2, kept_out=True, ready=3)
    limited = [job(one, key=key, cost=2_000) for _ in range(3)]
    choice = claim([one, key, tenant(2)], limited, most=64, parked=[])
    assert len(choice.parked) == 1
    assert {subject_id.int: at for subject_id, at in virtual_times(choice.chosen).items()} == {1: 4_007.0, 11: 4_007.0}
    assert virtual_times([]) == {}


def test_where_the_next_job_begins() -> None:
    one, two = tenant(1, ready=1), tenant(2)
    candidates = [job(one), job(two)]
    choice = claim([one, two], candidates, most=1)
    turns = _turns([one, two], 1)
    assert next_virtual_time(turns, choice.chosen, unseen=[]) == 0.0, "the other one waits"
    both = claim([one, two], candidates, most=64).chosen
    assert next_virtual_time(turns, both, unseen=[]) == 1_000.0, "the second has more"
    assert next_virtual_time(turns[:1], both, unseen=[400.0]) == 400.0, "one that was not looked at"
    assert next_virtual_time(turns[:1], both, unseen=[]) is None


costs = st.lists(st.sampled_from([1_000, 50_000, 5_000_000]), max_size=12)
lines = st.lists(st.tuples(st.sampled_from([0.5, 1.0, 4.0]), costs), min_size=1, max_size=6)


@given(lines, st.lists(st.integers(1, 9), min_size=1, max_size=4))
def test_claims_of_any_size_send_all_in_the_order_of_claims_of_one(
    drawn: list[tuple[float, list[int]]], sizes: list[int]
) -> None:
    """But for jobs that begin at the same virtual time."""
    begun = _send_all(drawn, sizes)
    assert begun == _send_all(drawn, [1]) == sorted(begun)


def _send_all(drawn: list[tuple[float, list[int]]], sizes: list[int]) -> list[float]:
    """When the jobs of these tenants (weight, costs) begin, in the order in which claims of these sizes, in turn, send them."""
    numbers = itertools.count(1)
    queues, waiting = {}, {}
    for number, (weight, prices) in enumerate(drawn, start=1):
        one = tenant(number, weight=weight, ready=len(prices))
        queues[one.tenant_id] = one
        waiting[one.tenant_id] = [
            Candidate(UUID(int=at), one.tenant_id, None, BEGAN_AT + timedelta(seconds=at), False, cost)
            for at, cost in zip(numbers, prices, strict=False)
        ]
    begun: list[float] = []
    for most in itertools.cycle(sizes):
        runnable = [one for one in queues.values() if waiting[one.tenant_id]]
        if not runnable:
            return begun
        turns = take_turns(runnable, jobs_max=most, looked_at=len(runnable), virtual_time=0.0)
        seen = [job for turn in turns for job in waiting[turn.tenant_id][: turn.seen]]
        choice = choose(turns, keys={}, candidates=seen, parked=[], jobs_max=most)
        assert 0 < len(choice.chosen) <= most
        went = ids(choice)
        sent = Counter(one.job.tenant_id for one in choice.chosen)
        for tenant_id, at in virtual_times(choice.chosen).items():
            one = queues[tenant_id]
            queues[tenant_id] = one._replace(ready=one.ready - sent[tenant_id], virtual_time=at)
        begun += [one.begins_at for one in choice.chosen]
        for tenant_id, jobs in waiting.items():
            waiting[tenant_id] = [job for job in jobs if job.id not in went]
    raise AssertionError


def test_a_job_that_may_not_go_holds_up_no_other_tenant() -> None:
    """Of what a tenant has in line all was looked at, and one job may go: there is nothing beyond it to wait for."""
    first, second = tenant(1, ready=2), tenant(2, ready=2)
    candidates = [job(first), job(second, cost=5_000), job(second)]
    assert len(claim([first, second], candidates, most=4).chosen) == 3


def test_nobody_goes_far_ahead_of_tenants_that_are_passed_over() -> None:
    """They would begin at 4,500: of the others the jobs go that begin by then, and one of whoever is beyond."""
    cheap, dear, ahead = tenant(1), tenant(2), tenant(3, virtual_time=5_000)
    jobs = {
        one.tenant_id: [job(one, cost=cost) for _ in range(20)]
        for one, cost in ((cheap, 1_000), (dear, 50_000), (ahead, 1_000))
    }
    candidates = [one for of_tenant in jobs.values() for one in of_tenant]
    went = Counter(
        one.job.tenant_id for one in claim([cheap, dear, ahead], candidates, most=60, passed_at=4_500).chosen
    )
    assert went == {cheap.tenant_id: 5, dear.tenant_id: 1, ahead.tenant_id: 1}
    alone = claim([dear], jobs[dear.tenant_id], most=60, passed_at=-1)
    assert ids(alone) == [jobs[dear.tenant_id][0].id]


keyed = st.lists(st.tuples(st.integers(0, 2), st.booleans(), st.integers(-50, 50)), max_size=30)


@given(keyed, st.lists(st.integers(0, 6) | st.none(), min_size=3, max_size=3), st.integers(0, 5), st.integers(1, 20))
def test_no_tenant_and_no_key_ever_has_more_than_it_may(
    drawn: list[tuple[int, bool, int]], limits: list[int | None], places: int, most: int
) -> None:
    """Key 0 has no limit of its own. Of each key as many jobs are in line, or parked, as were drawn."""
    one = tenant(1, max_in_flight=places)
    keys = [key_of(one, 11 + number, max_in_flight=limit) for number, limit in enumerate(limits)]
    candidates, parked = [], []
    for number, in_line, age in drawn:
        if in_line or number == 0:
            candidates.append(job(one, key=keys[number] if number else None, age=age + 100))
        else:
            parked.append(parked_job(keys[number], age + 100))
    counts = Counter(job.key_id for job in candidates)
    aside = Counter(job.key_id for job in parked)
    queues = [one._replace(ready=len(candidates))] + [
        key._replace(ready=counts[key.subject_id], kept_out=aside[key.subject_id] > 0) for key in keys[1:]
    ]
    choice = claim(queues, candidates, most=most, parked=parked)
    assert len(choice.chosen) <= min(most, places)
    assert not {job.id for job in choice.parked} & set(ids(choice))
    for key in queues[1:]:
        went = [one.job for one in choice.chosen if one.job.key_id == key.subject_id]
        back = [job for job in choice.back if job.key_id == key.subject_id]
        left = key.ready - sum(job.key_id == key.subject_id for job in choice.parked) + len(back)
        assert len(went) <= key.places
        assert math.isinf(key.places) or not back or left <= key.places
        older = [job.rank_at for job in parked if job.key_id == key.subject_id]
        for number, one_job in enumerate(sorted(went, key=lambda job: job.place), start=1):
            assert number + sum(at < one_job.rank_at for at in older) <= key.places, "a parked job was passed over"
