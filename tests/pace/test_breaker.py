"""Who can stop everybody: many jobs of several models and tenants that get no answer, and nobody else."""

from collections.abc import Iterable
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.pace.breaker import (
    BREAK_JOBS,
    PROBE_MODEL,
    PROBE_TENANT,
    TOLD_GROUP_MAX,
    TOLD_MAX,
    Availability,
    Health,
    Sample,
    grouped,
    is_suspect,
    judge,
    share_failed,
    worth_telling,
)


def group(tenant: int, model: str, *, bad: int = 0, good: int = 0) -> Health:
    return Health(UUID(int=tenant), model, bad + good, bad)


def balance(*, bad: int = 0, good: int = 0) -> Health:
    return Health(PROBE_TENANT, PROBE_MODEL, bad + good, bad)


EVERYBODY = [group(tenant, f"model-{tenant % 4}", bad=3) for tenant in range(1, 9)]

CLOSED: dict[str, tuple[list[Health], Availability]] = {
    "nothing was heard": ([], Availability.THERE),
    "nobody is answered": (EVERYBODY, Availability.AWAY),
    "nobody is answered, but our balance": ([*EVERYBODY, balance(good=1)], Availability.AWAY),
    "half are answered": ([group(tenant, f"m{tenant}", bad=1, good=1) for tenant in range(1, 9)], Availability.THERE),
    "too few to judge by": (
        [group(tenant, f"m{tenant}", bad=1) for tenant in range(1, BREAK_JOBS)],
        Availability.THERE,
    ),
    "12 bad jobs of one tenant and model, others answered": (
        [group(1, "bad", bad=12), group(2, "good", good=1)],
        Availability.THERE,
    ),
    "1,000 bad jobs of one model of many tenants, another model answered once": (
        [*(group(tenant, "bad", bad=10) for tenant in range(1, 101)), group(7, "good", good=1)],
        Availability.THERE,
    ),
    "one tenant's 50 models, others answered": (
        [*(group(1, f"m{place}", bad=10) for place in range(50)), group(2, "good", good=1)],
        Availability.THERE,
    ),
    "one model is all there is": ([group(1, "bad", bad=12)], Availability.ASK),
    "one model is all there is, our balance is told": ([group(1, "bad", bad=12), balance(good=1)], Availability.THERE),
    "one model is all there is, our balance is not told": (
        [group(1, "bad", bad=12), balance(bad=1)],
        Availability.AWAY,
    ),
    "one model of two tenants": ([group(1, "bad", bad=6), group(2, "bad", bad=6)], Availability.ASK),
    "one tenant with two models": ([group(1, "one", bad=6), group(1, "two", bad=6)], Availability.ASK),
    "one tenant with 50 models is all there is": (
        [group(1, f"m{place}", bad=9) for place in range(50)],
        Availability.ASK,
    ),
    "a balance alone is no job": ([balance(bad=20)], Availability.THERE),
}

OPEN: dict[str, tuple[list[Health], Availability]] = {
    "nothing was heard": ([], Availability.AWAY),
    "nobody is answered": ([*EVERYBODY, balance(bad=4)], Availability.AWAY),
    "nobody is answered, but our balance": ([*EVERYBODY, balance(good=4)], Availability.AWAY),
    "one job was answered": ([group(1, "m", good=1)], Availability.AWAY),
    "two jobs were answered": ([group(1, "m", good=2)], Availability.THERE),
    "nobody asks, our balance is told": ([balance(good=2)], Availability.THERE),
    "nobody asks, our balance was told once": ([balance(good=1)], Availability.AWAY),
    "some jobs stay bad": ([group(1, "bad", bad=12), group(2, "good", good=1), balance(good=1)], Availability.THERE),
    "only bad ones are left, and our balance is told": ([group(1, "bad", bad=12), balance(good=2)], Availability.THERE),
    "only bad ones of two tenants and models are left, and our balance is told": (
        [group(1, "bad", bad=12), group(2, "worse", bad=12), balance(good=2)],
        Availability.THERE,
    ),
    "only bad ones of two models are left, and our balance is told but once": (
        [group(1, "bad", bad=12), group(2, "worse", bad=12), balance(good=2, bad=1)],
        Availability.AWAY,
    ),
    "only bad ones of three tenants and models are left": (
        [*(group(n, f"m{n}", bad=2) for n in range(1, 4)), balance(good=4)],
        Availability.AWAY,
    ),
    "it begins to answer": (
        [*(group(n, f"m{n}", bad=2, good=1) for n in range(4)), balance(good=1)],
        Availability.AWAY,
    ),
}


@pytest.mark.parametrize(("health", "verdict"), CLOSED.values(), ids=CLOSED)
def test_when_it_opens(health: list[Health], verdict: Availability) -> None:
    assert judge(health, broken=False) is verdict


@pytest.mark.parametrize(("health", "verdict"), OPEN.values(), ids=OPEN)
def test_when_it_closes(health: list[Health], verdict: Availability) -> None:
    assert judge(health, broken=True) is verdict


groups = st.builds(
    lambda tenant, model, bad, good: group(tenant, f"m{model}", bad=bad, good=good),
    st.integers(1, 9),
    st.integers(0, 9),
    st.integers(0, 9),
    st.integers(1, 9),
)


@given(others=st.lists(groups, min_size=1, max_size=30), bad=st.integers(1, 10_000))
def test_one_tenants_jobs_of_one_model_cannot_open_it_however_many_they_are(others: list[Health], bad: int) -> None:
    """Beside others of whom at least half are answered."""
    others = [Health(one.tenant_id, one.model, one.jobs, min(one.failed, one.jobs // 2)) for one in others]
    assert judge([*others, group(99, "theirs", bad=bad)], broken=False) is not Availability.AWAY


@given(health=st.lists(groups, max_size=30))
def test_what_mends_it_would_not_open_it(health: list[Health]) -> None:
    """Or it would open and close in turn."""
    heard = [*health, balance(good=2)]
    if judge(heard, broken=True) is Availability.THERE:
        assert judge(heard, broken=False) is not Availability.AWAY


@given(health=st.lists(groups, max_size=30), more=groups)
def test_the_share_is_one_and_an_answer_never_raises_it(health: list[Health], more: Health) -> None:
    share = share_failed([*health, more])
    assert 0 <= share <= 1
    answered = Health(more.tenant_id, more.model, more.jobs + 1, more.failed)
    assert share_failed([*health, answered]) <= share + 1e-9


def samples(tenant: int, model: str, number: int, *, failed: bool, at: float = 0.0) -> list[Sample]:
    return [
        Sample(UUID(int=tenant * 10**6 + place), UUID(int=tenant), model, at + place, failed) for place in range(number)
    ]


def flat(*many: Iterable[Sample]) -> list[Sample]:
    return [one for some in many for one in some]


def test_a_process_suspects_only_where_it_hears_of_hardly_anything_else() -> None:
    bad, good = samples(1, "bad", 12, failed=True), samples(2, "good", 1, failed=False)
    assert is_suspect(bad)
    assert not is_suspect(flat(bad, good))
    assert not is_suspect([])
    assert sorted(grouped(flat(bad, good)), key=lambda one: one.model) == [
        group(1, "bad", bad=12),
        group(2, "good", good=1),
    ]


def test_what_is_told_is_bounded_and_leaves_nobody_out() -> None:
    few = worth_telling(flat(samples(1, "bad", 500, failed=True), samples(2, "good", 1, failed=False)))
    assert [one.tenant_id.int for one in few] == [1] * TOLD_GROUP_MAX + [2]
    assert len(worth_telling(flat(*(samples(n, "m", 9, failed=True) for n in range(1, 99))))) == TOLD_MAX
