"""Chaos on real processes. `CHAOS_LONG=1` runs the long forms, `CHAOS_SEED=N` repeats a run's choices, `CHAOS_KEEP=DIR`
keeps the logs of stacks whose test failed."""

import os
import random

import pytest

from tests.chaos.form import Form


@pytest.fixture
def form() -> Form:
    seed = int(os.environ.get("CHAOS_SEED") or random.randrange(2**32))
    print(f"CHAOS_SEED={seed}")
    return Form(long=bool(os.environ.get("CHAOS_LONG")), seed=seed)
