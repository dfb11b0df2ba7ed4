"""Chaos on real processes. `CHAOS_LONG=1` runs the long forms, `CHAOS_SEED=N` repeats a run's choices, `CHAOS_KEEP=DIR`
keeps the logs.

form     short or long, and the seed
whole    the stack that tests share, since it takes seconds to start; a module that needs another has its own
victim   that stack, whole again whatever the test before did to it
load     a client of `victim`
"""

import os
import random
from collections.abc import AsyncIterator

import pytest

from tests.chaos.form import Form
from tests.chaos.load import Load
from tests.chaos.stack import Plan, Stack, running


@pytest.fixture
def form() -> Form:
    seed = int(os.environ.get("CHAOS_SEED") or random.randrange(2**32))
    print(f"CHAOS_SEED={seed}")
    return Form(long=bool(os.environ.get("CHAOS_LONG")), seed=seed)


@pytest.fixture(scope="session")
async def whole() -> AsyncIterator[Stack]:
    async with running(Plan()) as stack:
        yield stack


@pytest.fixture
async def victim(whole: Stack) -> Stack:
    await whole.recover()
    return whole


@pytest.fixture
async def load(victim: Stack, form: Form) -> AsyncIterator[Load]:
    client = Load(victim, seed=form.seed)
    yield client
    await client.aclose()
