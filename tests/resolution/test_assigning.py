"""Requests of the history are assigned only where no other assignment is possible."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import permutations
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.resolution.matching.assigning import Assigned, assign
from app.resolution.matching.fitting import Candidate, added_members, are_defaults, canonical, could_be, exact
from app.resolution.matching.index import FittingIndex
from app.upstream.history_rows import HistoryRow, read_body, read_page
from app.upstream.readings import parse

T0 = datetime(2026, 11, 1, 12, tzinfo=UTC)
ONE, TWO = UUID(int=1), UUID(int=2)
SCHEMA = {"properties": {"a": {}, "fps": {"default": 7}, "text": {"default": "x"}}}


def row(number: int, body: Any, *, at: float = 0.5, model: str = "m") -> HistoryRow:
    created_at = T0 + timedelta(seconds=at)
    return HistoryRow(f"r{number}", model, "COMPLETED", created_at, None, 10, body, None, None)


def attempt(
    number: int,
    body: Any,
    *,
    tenant: UUID | None = ONE,
    at: float = 0.0,
    until: float | None = None,
    waits: bool = False,
) -> Candidate:
    sent_at = T0 + timedelta(seconds=at)
    last_at = T0 + timedelta(seconds=at + 30.0 if until is None else until)
    return Candidate(UUID(int=100 + number), 1, tenant, "m", sent_at, last_at, body, waits)


def numbers(found: Assigned) -> dict[str, int]:
    return {upstream_id: job_id.int - 100 for upstream_id, (job_id, _) in found.adopted.items()}


def test_a_request_goes_to_the_attempt_that_made_it() -> None:
    found = assign([row(1, {"a": 1}), row(2, {"a": 2})], [attempt(1, {"a": 2}), attempt(2, {"a": 1})])
    assert numbers(found) == {"r1": 2, "r2": 1}
    assert not found.contested
    assert not found.doubtful
    assert not found.strangers


def test_of_twins_of_one_tenant_as_many_are_adopted_as_there_are_requests() -> None:
    found = assign([row(1, {"a": 1}), row(2, {"a": 1})], [attempt(number, {"a": 1}) for number in range(3)])
    assert len(found.adopted) == len(set(found.adopted.values())) == 2
    assert not found.doubtful, "the third may be proven absent"


def test_of_twins_the_one_nearest_in_time_goes_first() -> None:
    """The first's request is late. If it got the second's, its own would be nobody's, and the second would seem absent."""
    first, second = attempt(1, {"a": 1}), attempt(2, {"a": 1}, at=140.0)
    assert numbers(assign([row(1, {"a": 1}, at=141.0)], [first, second])) == {"r1": 2}
    assert numbers(assign([row(1, {"a": 1}, at=1.0)], [first, second])) == {"r1": 1}


def test_of_twins_none_goes_without_while_a_request_is_left() -> None:
    """Also if their senders gave up at different times."""
    twins = [attempt(1, {"a": 1}, until=900.0), attempt(2, {"a": 1}, at=1.0), attempt(3, {"a": 1}, at=2.0, until=900.0)]
    rows = [row(1, {"a": 1}, at=10.0), row(2, {"a": 1}, at=500.0), row(3, {"a": 1}, at=600.0)]
    for order in permutations(rows):
        assert sorted(numbers(assign(order, twins)).values()) == [1, 2, 3]


def test_of_too_many_twins_nothing_is_proven() -> None:
    twins = [attempt(number, {"a": 1}) for number in range(1, 203)]
    found = assign([row(number, {"a": 1}) for number in range(1, 101)], twins)
    assert len(found.adopted) == 100
    assert found.doubtful == {twin.key for twin in twins} - set(found.adopted.values())


def test_twins_of_two_tenants_are_contested() -> None:
    twins = [attempt(1, {"a": 1}), attempt(2, {"a": 1}, tenant=TWO)]
    found = assign([row(1, {"a": 1})], twins)
    assert not found.adopted
    assert found.contested == {"r1": [twin.key for twin in twins]}
    assert found.doubtful == {twin.key for twin in twins}
    both = assign([row(1, {"a": 1}), row(2, {"a": 1})], twins)
    assert not both.adopted, "which is whose is unknown"


def test_elimination_leaves_one_assignment() -> None:
    """The second request was made too late for the first tenant's attempt, so the first request is that attempt's."""
    attempts = [attempt(1, {"a": 1}), attempt(2, {"a": 1}, tenant=TWO, at=100)]
    found = assign([row(1, {"a": 1}, at=50), row(2, {"a": 1}, at=240)], attempts)
    assert numbers(found) == {"r1": 1, "r2": 2}


def test_an_attempt_that_waits_keeps_its_request() -> None:
    found = assign([row(1, {"a": 1})], [attempt(1, {"a": 1}), attempt(2, {"a": 1}, waits=True)])
    assert not found.adopted
    assert found.doubtful == {(UUID(int=101), 1), (UUID(int=102), 1)}
    assert not found.contested, "one tenant"
    assert not assign([row(1, {"a": 1})], [attempt(1, {"a": 1}, waits=True)]).adopted


def test_a_waiting_twin_stops_only_what_it_may_have_made() -> None:
    attempts = [attempt(number, {"a": 1}, at=10.0 * number) for number in range(40)]
    waiting = attempt(99, {"a": 1}, at=10_000, waits=True)
    rows = [row(number, {"a": 1}, at=10.0 * number + 1) for number in range(40)]
    assert len(assign(rows, [*attempts, waiting]).adopted) == 40


def test_a_probe_of_ours_contests() -> None:
    assert not assign([row(1, {"a": 1})], [attempt(1, {"a": 1}), attempt(2, {"a": 1}, tenant=None)]).adopted


def test_more_requests_than_attempts() -> None:
    twins = assign([row(1, {"a": 1}), row(2, {"a": 1})], [attempt(1, {"a": 1})])
    assert len(twins.adopted) == 1, "either is what the tenant asked for"
    found = assign(
        [row(1, {"a": 1}), row(2, {"a": 1}), row(3, {"a": 1})], [attempt(1, {"a": 1}), attempt(2, {"a": 1}, tenant=TWO)]
    )
    assert not found.adopted


def test_without_body_model_or_instant_nobody_gets_it() -> None:
    attempts = [attempt(1, {})]
    for lacking in (
        row(1, None),
        HistoryRow("r1", None, None, T0, None, None, {}, None, None),
        HistoryRow("r1", "m", None, None, None, None, {}, None, None),
        row(1, {}, at=-121), row(1, {}, at=151), row(1, {}, model="n"),
    ):  # fmt: skip
        found = assign([lacking], attempts)
        assert not found.adopted
        assert found.strangers == [lacking]


def test_added_members_must_be_defaults_if_the_schema_is_known() -> None:
    def found(body: Any) -> dict[str, int]:
        return numbers(assign([row(1, body)], [attempt(1, {"a": 1})], schema_of=lambda _: SCHEMA))

    assert found({"a": 1, "fps": 7}) == found({"a": "1", "fps": "7", "text": "x"}) == {"r1": 1}
    assert found({"a": 1, "fps": 8}) == found({"a": 1, "other": 7}) == found({"a": 2, "fps": 7}) == {}


def test_without_a_schema_an_attempt_that_fits_better_goes_first() -> None:
    filled = row(1, {"a": 1, "fps": 7})
    assert numbers(assign([filled], [attempt(1, {"a": 1})])) == {"r1": 1}
    found = assign([filled], [attempt(1, {"a": 1}), attempt(2, {"a": 1, "fps": 7})])
    assert numbers(found) == {"r1": 2}
    assert found.doubtful == {(UUID(int=101), 1)}, "nothing is proven of the other"
    better = attempt(9, {"a": 1, "fps": 7}, tenant=TWO)
    assert not assign([filled], [attempt(1, {"a": 1})], settled=FittingIndex([better])).adopted
    both = assign([filled], [attempt(1, {"a": 1}), attempt(2, {"a": 1, "fps": 7}, tenant=TWO)])
    assert len(both.contested["r1"]) == 2, "the upstream may have added what the other has sent"


def test_explicit_defaults_of_another_tenant_are_contested() -> None:
    """The upstream may have added what the other tenant has sent."""
    found = assign([row(1, {"a": 1, "fps": 7})], [attempt(1, {"a": 1}), attempt(2, {"a": 1, "fps": 7}, tenant=TWO)], schema_of=lambda _: SCHEMA)  # fmt: skip
    assert not found.adopted
    assert len(found.contested["r1"]) == 2


@pytest.mark.parametrize(
    ("theirs", "ours"), [(5, "5"), ("5.0", 5), ([1, "2"], ["1", 2]), ({"b": {"c": "1"}}, {"b": {"c": 1}})]
)
def test_numbers_may_be_spelled_as_strings(theirs: Any, ours: Any) -> None:
    assert canonical(theirs) == canonical(ours)
    assert exact(theirs) != exact(ours)


@pytest.mark.parametrize(
    ("theirs", "ours"), [(True, 1), (None, 0), (True, "True"), ("", 0), ("01", 1), ([1], [1, 1]), ("1_0", 10)]
)
def test_other_values_differ(theirs: Any, ours: Any) -> None:
    assert canonical(theirs) != canonical(ours)


def test_what_was_added() -> None:
    assert added_members({"a": 1, "b": 2}, {"a": 1}) == {"b": 2}
    assert added_members({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}) is None
    assert added_members([1], [1]) == {}
    assert are_defaults({}, {})
    assert not are_defaults({"a": 1}, SCHEMA)


CHOICES = st.tuples(
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 2), st.sampled_from([0, 60, 140]), st.booleans()), max_size=5),
    st.lists(st.tuples(st.integers(0, 2), st.sampled_from([1, 61, 141, 200])), max_size=4),
)


@given(CHOICES)
def test_it_is_what_all_assignments_have_in_common(choices: Any) -> None:
    """Compared with every possible assignment, one by one."""
    made, seen = choices
    attempts = [
        attempt(number, {"a": body}, tenant=(ONE, TWO)[tenant], at=at, waits=waits)
        for number, (tenant, body, at, waits) in enumerate(made)
    ]
    orphans = [row(number, {"a": body}, at=at) for number, (body, at) in enumerate(seen)]
    found = assign(orphans, attempts)
    fits = {one.upstream_id: [c for c in attempts if assign([one], [c]).strangers == []] for one in orphans}
    owned = [one.upstream_id for one in orphans if fits[one.upstream_id]]
    every = [
        dict(zip(owned, chosen, strict=True))
        for chosen in permutations(attempts, len(owned))
        if all(c in fits[upstream_id] for upstream_id, c in zip(owned, chosen, strict=True))
    ]
    by_key = {c.key: c for c in attempts}
    assert len(set(found.adopted.values())) == len(found.adopted)
    for upstream_id, key in found.adopted.items():
        given_to = by_key[key]
        assert given_to in fits[upstream_id]
        assert not given_to.waits
        for assignment in every:
            truth = assignment[upstream_id]
            assert (truth.tenant_id, truth.body, truth.waits) == (given_to.tenant_id, given_to.body, False)


VALUES = st.one_of(
    st.integers(0, 2), st.sampled_from(["", "1", "2.0", "x" * 70, "y" * 70]), st.booleans(), st.none(),
    st.lists(st.integers(0, 1), max_size=2), st.dictionaries(st.sampled_from("pq"), st.integers(0, 1), max_size=2),
)  # fmt: skip
BODIES = st.one_of(st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3), VALUES)


@pytest.mark.parametrize(
    "body",
    [
        b'{"x": "10e999999"}', b'{"x": 1e1000000}', b'{"x": 1e9999999999999999999}', b'{"x": NaN}',
        b'{"x": ' + b"9" * 5_000 + b"}", b'{"x": 0.' + b"9" * 5_000 + b"}",
    ],
)  # fmt: skip
def test_no_number_stops_the_comparison(body: bytes) -> None:
    found = FittingIndex([attempt(1, read_body(body))])
    assert [fitting.candidate.job_id for fitting in found.find(row(1, read_body(body)))] == [UUID(int=101)]
    assert found.find(row(1, {"x": 1})) == []
    page = parse(b'{"data": [{"request_id": "r", "request_body": ' + body + b"}]}")
    assert read_page(page, page=1).rows[0].body == read_body(body)


def test_numbers_are_compared_with_all_their_digits() -> None:
    one, other = 10**30 + 1, 10**30 + 2
    assert canonical(one) != canonical(other)
    assert exact(Decimal("1.00")) == exact(Decimal("1.0")) == exact(1)
    assert canonical(Decimal("1E+2")) == canonical("100") == canonical(100.0)
    assert canonical(0) == canonical("-0.00")


def test_settled_attempts_are_found_without_their_parameters() -> None:
    index = FittingIndex(keeps_bodies=False)
    index.add(attempt(1, {"image": "x" * 100_000, "a": 1}))
    [found] = index.find(row(1, {"image": "x" * 100_000, "a": 1, "b": 2}))
    assert (found.candidate.body, found.added, index.members) == (None, 1, 2)


@given(BODIES, st.lists(st.tuples(BODIES, st.sampled_from([-200, 0, 10, 200])), max_size=8))
def test_the_index_finds_what_a_comparison_with_each_attempt_finds(theirs: Any, sent: Any) -> None:
    attempts = [attempt(number, body, at=at) for number, (body, at) in enumerate(sent)]
    request = row(1, theirs)
    expected = {
        one.key: len(added)
        for one in attempts
        if could_be(request, one) and (added := added_members(theirs, one.body)) is not None
    }
    found = FittingIndex(attempts).find(request)
    assert {fitting.candidate.key: fitting.added for fitting in found} == expected
    assert [f.candidate.sent_at for f in found] == sorted(f.candidate.sent_at for f in found)
