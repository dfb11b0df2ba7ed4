"""What is learned of a job's run time never reaches back beyond its acceptance."""

import pytest

from app.jobs.claiming.decide import run_time
from app.upstream.wire import Outcome, OutcomeKind

SILENT = Outcome(OutcomeKind.SUCCEEDED, 200, 0.1, "")


@pytest.mark.parametrize(("age", "gap"), [(0.3, 2.0), (10.0, 2.0), (2.0, 2.0)])
def test_parts_add_up_to_the_age(age: float, gap: float) -> None:
    ran, detected = run_time(SILENT, age_seconds=age, gap_seconds=gap)
    assert ran + detected == pytest.approx(age)
    assert 0 < ran <= age
    assert 0 <= detected <= gap / 2
