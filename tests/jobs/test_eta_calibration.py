"""What is expected happens as often as it claims: a tenant's line in virtual time, thousands of jobs."""

import os
import random
from collections.abc import Callable

import pytest

from tests.jobs.virtual_line import MODELS, Coverage, Job, VirtualTenant, coverage, poisson

MEAN = sum(mean for mean, _ in MODELS.values()) / len(MODELS)
Scene = Callable[[random.Random], list[Job]]


def at_once(chance: random.Random, number: int) -> list[tuple[float, str]]:
    return [(place * 1e-3, chance.choice(list(MODELS))) for place in range(number)]


def empty(chance: random.Random) -> list[Job]:
    return VirtualTenant(chance, slots=50).run(poisson(chance, per_second=20 / MEAN, number=100))


def flood(chance: random.Random) -> list[Job]:
    return VirtualTenant(chance, slots=20).run(at_once(chance, 100))


def backlog(chance: random.Random) -> list[Job]:
    rest = poisson(chance, per_second=19 / MEAN, number=60, began_at=1.0)
    return VirtualTenant(chance, slots=20, pause=0.5).run([*at_once(chance, 60), *rest])


def few_places(chance: random.Random) -> list[Job]:
    return VirtualTenant(chance, slots=3).run(at_once(chance, 100))[::5]


def many_places(chance: random.Random) -> list[Job]:
    return VirtualTenant(chance, slots=150).run(at_once(chance, 250))


SCENES: dict[Scene, int] = {empty: 8, flood: 10, backlog: 8, few_places: 16, many_places: 4}
"""How many lines of each are looked at: what happens within one hangs together."""


@pytest.fixture(scope="module")
def lines() -> dict[str, list[Job]]:
    seed = int(os.environ.get("CHAOS_SEED") or 1)
    print(f"CHAOS_SEED={seed}")
    return {
        scene.__name__: [job for turn in range(turns) for job in scene(random.Random(seed + turn))]
        for scene, turns in SCENES.items()
    }


def assert_calibrated(found: Coverage, what: str) -> None:
    print(f"{what}: {found.number} jobs, p50 {found.p50:.1%}, p90 {found.p90:.1%}, band {found.band:.1%}")
    assert 0.45 <= found.p50 <= 0.55
    assert 0.85 <= found.p90 <= 0.95
    assert 0.35 <= found.band <= 0.45


@pytest.mark.slow
def test_of_all_jobs_the_bands_cover_what_they_claim(lines: dict[str, list[Job]]) -> None:
    jobs = [job for some in lines.values() for job in some]
    assert len(jobs) > 2_000
    assert_calibrated(coverage(jobs, "queued"), "queued")
    assert_calibrated(coverage(jobs, "running"), "running")


@pytest.mark.slow
def test_no_scene_is_far_off(lines: dict[str, list[Job]]) -> None:
    for name, jobs in lines.items():
        found = coverage(jobs, "queued")
        print(f"{name}: {found.number} jobs, p50 {found.p50:.1%}, p90 {found.p90:.1%}, band {found.band:.1%}")
        assert 0.3 <= found.p50 <= 0.7, name
        assert found.p90 >= 0.75, name
