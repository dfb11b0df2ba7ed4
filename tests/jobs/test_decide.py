"""Every choice of the engine leads where the life cycle allows, whatever the upstream says."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.jobs.claiming.decide import MESSAGE_MAX, Running, after_poll, after_submit, backoff, believed, run_time
from app.jobs.estimates.schedule import schedule
from app.jobs.models import FINAL, TRANSITIONS, ErrorCode, State
from app.upstream.wire import Metrics, Outcome, OutcomeKind, UpstreamState

SCHEDULE = schedule([], published_seconds=None)

metrics = st.none() | st.builds(
    Metrics,
    inference_seconds=st.none() | st.floats(0, 1e9),
    total_seconds=st.none() | st.floats(0, 1e9),
    cost_micro=st.none() | st.integers(0, 10**14),
)


def outcomes(**fixed: Any) -> st.SearchStrategy[Outcome]:
    return st.builds(
        Outcome,
        **{
            "kind": st.sampled_from(OutcomeKind),
            "status_code": st.none() | st.integers(100, 599),
            "duration_seconds": st.floats(0, 100),
            "detail": st.just("http_500"),
            "upstream_id": st.none() | st.just("id"),
            "state": st.none() | st.sampled_from(UpstreamState),
            "body": st.none() | st.binary(max_size=10),
            "error": st.none() | st.text(max_size=MESSAGE_MAX + 10),
            "retry_after_seconds": st.none() | st.floats(0, 3600),
            "metrics": metrics,
            **fixed,
        },
    )


runnings = st.builds(
    Running,
    age_seconds=st.floats(0, 200_000),
    gone_seconds=st.none() | st.floats(0, 200_000),
    retries=st.integers(0, 1000),
    upstream_state=st.none()
    | st.sampled_from([UpstreamState.QUEUED, UpstreamState.PROCESSING, UpstreamState.COMPLETED]),
    unreadable=st.integers(0, 1000),
)


@given(outcome=outcomes(), retries=st.integers(0, 1000))
def test_after_submit_goes_where_sending_may_go(outcome: Outcome, retries: int) -> None:
    step = after_submit(outcome, retries=retries, schedule=SCHEDULE, unknown_max_seconds=3600)
    assert step.to_state in TRANSITIONS[State.SENDING]
    assert step.to_state is not State.CANCELED
    assert (step.due_seconds is None) == (step.to_state in FINAL)
    assert step.due_seconds is None or 0 <= step.due_seconds <= 4000
    assert (step.due_seconds == 0) == (outcome.kind is OutcomeKind.THROTTLED), "it keeps its place"
    assert (step.error_code is not None) == (step.to_state is State.FAILED)
    assert step.message is None or len(step.message) <= MESSAGE_MAX
    assert (step.pause is not None) == (outcome.kind is OutcomeKind.ACCOUNT)


def test_only_what_provably_did_not_arrive_is_sent_again() -> None:
    again = {
        kind
        for kind in OutcomeKind
        if after_submit(Outcome(kind, None, 0.0, ""), retries=0, schedule=SCHEDULE, unknown_max_seconds=1).to_state
        is State.QUEUED
    }
    assert again == {OutcomeKind.NOT_SENT, OutcomeKind.THROTTLED, OutcomeKind.ACCOUNT}


@given(outcome=outcomes())
def test_an_unknown_submit_that_named_its_id_is_believed(outcome: Outcome) -> None:
    told = believed(outcome)
    if outcome.kind is OutcomeKind.UNKNOWN and outcome.upstream_id is not None:
        assert told.kind is OutcomeKind.ACCEPTED
    else:
        assert told == outcome


@given(outcome=outcomes(), job=runnings)
def test_after_poll_goes_where_running_may_go(outcome: Outcome, job: Running) -> None:
    step = after_poll(outcome, job, schedule=SCHEDULE)
    assert step.to_state in TRANSITIONS[State.RUNNING] | {State.RUNNING}
    assert (step.due_seconds is None) == (step.to_state in FINAL)
    assert step.due_seconds is None or 0 < step.due_seconds <= 4000
    assert (step.error_code is not None) == (step.to_state is State.FAILED)
    if step.to_state is State.COMPLETED:
        assert outcome.kind is OutcomeKind.SUCCEEDED
        assert step.body is not None
    if step.to_state is State.FAILED:
        assert step.message
        assert outcome.kind is OutcomeKind.FAILED or step.error_code in (
            ErrorCode.RESULT_LOST,
            ErrorCode.RESULT_TOO_LARGE,
            ErrorCode.RESULT_UNREADABLE,
            ErrorCode.UPSTREAM_UNAVAILABLE,
        )
    if step.to_state is State.RUNNING:
        assert step.upstream_state is not UpstreamState.FAILED


@given(
    outcome=outcomes(
        kind=st.sampled_from([OutcomeKind.TROUBLE, OutcomeKind.THROTTLED, OutcomeKind.ACCOUNT, OutcomeKind.UNKNOWN])
    ),
    job=runnings,
)
def test_trouble_up_there_ends_nothing_within_a_day(outcome: Outcome, job: Running) -> None:
    step = after_poll(outcome, job, schedule=SCHEDULE)
    assert (step.to_state is State.RUNNING) == (job.age_seconds <= 86_400)


@given(job=runnings)
def test_a_completed_run_is_never_taken_for_running_again(job: Running) -> None:
    step = after_poll(
        Outcome(OutcomeKind.TROUBLE, 503, 0.1, "x", state=UpstreamState.COMPLETED), job, schedule=SCHEDULE
    )
    if step.to_state is State.RUNNING:
        assert step.upstream_state is UpstreamState.COMPLETED


@pytest.mark.parametrize("seen", [None, UpstreamState.QUEUED, UpstreamState.PROCESSING, UpstreamState.COMPLETED])
def test_a_404_is_borne_for_a_while(seen: UpstreamState | None) -> None:
    gone = Outcome(OutcomeKind.GONE, 404, 0.1, "http_404", in_json=True)
    first = after_poll(gone, Running(5, None, 0, seen), schedule=SCHEDULE)
    assert (first.to_state, first.gone) == (State.RUNNING, True)
    assert after_poll(gone, Running(300, 130, 5, seen), schedule=SCHEDULE).error_code is ErrorCode.RESULT_LOST
    assert after_poll(gone, Running(4000, 11, 5, seen), schedule=SCHEDULE).error_code is ErrorCode.RESULT_LOST


@pytest.mark.parametrize("seen", [None, UpstreamState.QUEUED, UpstreamState.PROCESSING, UpstreamState.COMPLETED])
def test_a_404_of_something_in_between_loses_nothing_while_the_upstream_keeps_the_request(
    seen: UpstreamState | None,
) -> None:
    page = Outcome(OutcomeKind.GONE, 404, 0.1, "http_404", answered=True)
    for age_seconds in (5, 300, 3599):
        step = after_poll(page, Running(age_seconds, 130, 5, seen), schedule=SCHEDULE)
        assert (step.to_state, step.gone, step.upstream_state) == (State.RUNNING, False, seen)
    assert after_poll(page, Running(4000, 11, 5, seen), schedule=SCHEDULE).error_code is ErrorCode.RESULT_LOST


def unreadable(detail: str = "encoded") -> Outcome:
    return Outcome(OutcomeKind.UNREADABLE, 200, 0.1, detail, answered=True)


def end_of(detail: str, job: Running) -> tuple[int, float, ErrorCode | None]:
    """After how many answers that cannot be read the job ends, how many seconds after the first, and with what."""
    seconds = 0.0
    for tries in range(1, 200):
        step = after_poll(unreadable(detail), job, schedule=SCHEDULE)
        if step.due_seconds is None:
            return tries, seconds, step.error_code
        assert (step.to_state, step.reason, step.unreadable) == (State.RUNNING, "unreadable", True)
        assert step.upstream_state is job.upstream_state
        seconds += step.due_seconds
        job = replace(job, unreadable=job.unreadable + 1, age_seconds=job.age_seconds + step.due_seconds)
    return 200, seconds, None


@pytest.mark.parametrize(
    ("detail", "code"),
    [
        ("body_too_large", ErrorCode.RESULT_TOO_LARGE),
        ("encoded", ErrorCode.RESULT_UNREADABLE),
        ("not_an_object", ErrorCode.RESULT_UNREADABLE),
        ("too_many_values", ErrorCode.RESULT_UNREADABLE),
    ],
)
def test_a_result_that_can_never_be_read_ends_its_job_after_a_few_tries(detail: str, code: ErrorCode) -> None:
    """Whatever trouble came before: only answers of this kind are counted."""
    tries, seconds, ended = end_of(detail, Running(60, None, 500, UpstreamState.COMPLETED))
    assert (tries, ended) == (6, code)
    assert 45 < seconds < 80


@pytest.mark.parametrize("seen", [None, UpstreamState.QUEUED, UpstreamState.PROCESSING])
def test_a_poll_that_cannot_be_read_may_be_something_in_between_and_ends_nothing_while_there_is_hope(
    seen: UpstreamState | None,
) -> None:
    """It ends once the upstream has forgotten the run; and of one that is past its hour not at the first such answer."""
    tries, seconds, ended = end_of("not_an_object", Running(60, None, 0, seen))
    assert ended is ErrorCode.RESULT_UNREADABLE
    assert 3_500 < seconds < 3_700
    assert tries < 200, "half a minute apart"
    tries, seconds, ended = end_of("body_too_large", Running(7_200, None, 0, seen))
    assert (tries, ended) == (10, ErrorCode.RESULT_UNREADABLE)
    assert seconds > 100


@given(retries=st.integers(0, 10**6), low=st.floats(0.01, 60), factor=st.floats(1, 1000))
def test_backoff_stays_within_its_bounds(retries: int, low: float, factor: float) -> None:
    assert 0.8 * low <= backoff(retries, low, low * factor) <= 1.2 * low * factor * 1.0001


@given(outcome=outcomes(), age=st.floats(0.001, 1e6), gap=st.floats(0, 60))
def test_run_time_and_detection_make_up_the_age(outcome: Outcome, age: float, gap: float) -> None:
    run, detection = run_time(outcome, age_seconds=age, gap_seconds=gap)
    assert run > 0
    assert detection >= 0
    assert run + detection == pytest.approx(age, abs=0.002)
