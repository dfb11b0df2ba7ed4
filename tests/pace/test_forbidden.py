"""When 403s mean that the upstream does not let us use a model: judged over every schedule of answers."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.pace.pauses.forbidden import (
    QUEUED_SECONDS,
    WINDOW_SECONDS,
    Forbidden,
    ProbeStep,
    Scope,
    forbidden_scope,
    noted,
    probe_step,
)

TENANTS = st.sampled_from("abc")
BODIES = st.sampled_from([bytes([body]) * 32 for body in range(3)])
GAPS = st.one_of(st.floats(0.001, 60), st.floats(WINDOW_SECONDS - 1, WINDOW_SECONDS + 1))
REFUSED = st.tuples(GAPS, TENANTS, BODIES)
ACCEPTED = st.tuples(GAPS, TENANTS, st.none())
SCHEDULES = st.lists(st.one_of(REFUSED, REFUSED, ACCEPTED), max_size=30)


@dataclass
class Kept:
    """What is kept of each tenant for one model, as the table keeps it."""

    rows: dict[str, Forbidden] = field(default_factory=dict)

    def refused(self, at: float, tenant: str, body: bytes) -> Scope | None:
        own = self.rows[tenant] = noted(self.rows.get(tenant), body=body, at=at)
        return forbidden_scope(own, [row for name, row in self.rows.items() if name != tenant], at=at)

    def accepted(self, tenant: str) -> None:
        self.rows.pop(tenant, None)
        self.rows = {
            name: Forbidden(row.last_at, row.last_body, row.other_at, alone=True) for name, row in self.rows.items()
        }


def expected(told: list[tuple[float, str, bytes | None]]) -> Scope | None:
    """The rule as it is written, over all answers up to the last, which is a 403."""
    at, tenant, _ = told[-1]
    lately = [one for one in told if one[0] >= at - WINDOW_SECONDS]
    since_any: list[tuple[float, str, bytes | None]] = []
    since_own: list[tuple[float, str, bytes | None]] = []
    for one in lately:
        since_any = [] if one[2] is None else [*since_any, one]
        if one[1] == tenant:
            since_own = [] if one[2] is None else [*since_own, one]
    if len({name for _, name, _ in since_any}) > 1:
        return Scope.EVERYBODY
    return Scope.TENANT if len({digest for _, _, digest in since_own}) > 1 else None


@given(SCHEDULES)
def test_what_is_kept_is_enough_for_the_rule(schedule: list[tuple[float, str, bytes | None]]) -> None:
    kept, at = Kept(), 0.0
    told: list[tuple[float, str, bytes | None]] = []
    for gap, tenant, body in schedule:
        at += gap
        told.append((at, tenant, body))
        if body is None:
            kept.accepted(tenant)
        else:
            assert kept.refused(at, tenant, body) == expected(told)


def test_one_tenants_403s_to_one_body_pause_nothing() -> None:
    kept = Kept()
    assert [kept.refused(float(at), "a", b"x") for at in range(50)] == [None] * 50


@pytest.mark.parametrize(
    ("state", "accepted", "overdue", "step"),
    [
        (None, False, 0.0, ProbeStep.CHOOSE),
        (None, False, -1.0, ProbeStep.WAIT),
        ("queued", False, 1.0, ProbeStep.WAIT),
        ("queued", False, QUEUED_SECONDS, ProbeStep.CHOOSE),
        ("sending", False, 1000.0, ProbeStep.WAIT),
        ("unknown", False, -1.0, ProbeStep.WAIT),
        ("unknown", False, 0.0, ProbeStep.CHOOSE),
        ("failed", False, 0.0, ProbeStep.CHOOSE),
        ("canceled", False, 0.0, ProbeStep.CHOOSE),
        ("running", True, -1.0, ProbeStep.LIFT),
        ("failed", True, -1.0, ProbeStep.LIFT),
    ],
)
def test_what_becomes_of_a_probe(state: str | None, accepted: bool, overdue: float, step: ProbeStep) -> None:
    assert probe_step(state=state, accepted=accepted, overdue_seconds=overdue) is step
