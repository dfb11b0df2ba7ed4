"""The models: their run times, costs and kinds of answer, from the published means."""

import csv
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

from app.simulator.config import MICROS_PER_CREDIT, SimulatorConfig

ResultKind = Literal["image", "video", "audio", "model3d", "text", "embedding", "echo"]


@dataclass(frozen=True, slots=True)
class ModelProfile:
    """The means of one model. None: nothing is published."""

    slug: str
    modality: str
    kind: ResultKind
    run_seconds: float | None
    cost_micros: int | None
    outputs: int = 1
    """How many files one run makes."""


SPECIAL: dict[str, ModelProfile] = {
    profile.slug: profile
    for profile in (
        ModelProfile("sim-instant", "simulated", "image", 0.0, 10_000),
        ModelProfile("sim-fail", "simulated", "image", 1.0, 10_000),
        ModelProfile("sim-hang", "simulated", "image", float("inf"), 10_000),
        ModelProfile("sim-echo", "simulated", "echo", 0.2, 10_000),
        ModelProfile("sim-images", "simulated", "image", 1.0, 30_000, outputs=3),
        ModelProfile("sim-video", "simulated", "video", 1.0, 10_000),
        ModelProfile("sim-text", "simulated", "text", 1.0, 100),
    )
}
"""sim-fail ends FAILED. sim-hang never ends. The output of sim-echo is the submitted member `echo`, byte for byte."""
SPECIAL_REFUSED = {"sim-unknown": 404, "sim-retired": 410, "sim-forbidden": 403, "sim-reject": 406}
"""sim-reject: a parameter value that is refused before the model runs."""


def _kind(modality: str) -> ResultKind:
    words = modality.lower().replace("-", " ").replace("_", " ")
    target = words.split("to")[-1]
    if "llm" in words or "vision" in words or "transcription" in words or "text" in target:
        return "text"
    if "embed" in words:
        return "embedding"
    if "3d" in words:
        return "model3d"
    if "audio" in target or "voice" in words:
        return "audio"
    return "video" if "video" in target else "image"


@cache
def catalogue() -> dict[str, ModelProfile]:
    """Every model of the published directory, by slug."""
    table = files(__package__).joinpath("model_profiles.csv").read_text(encoding="utf-8")
    return {
        row["slug"]: ModelProfile(
            slug=row["slug"],
            modality=row["modality"],
            kind=_kind(row["modality"]),
            run_seconds=float(row["mean_run_seconds"]) if row["mean_run_seconds"] else None,
            cost_micros=round(float(row["mean_cost_usd"]) * MICROS_PER_CREDIT) if row["mean_cost_usd"] else None,
        )
        for row in csv.DictReader(table.splitlines())
    }


def refused_status(slug: str, config: SimulatorConfig) -> int | None:
    """404, 410, 403 or 406 for a model that cannot run, else None."""
    if slug in config.unknown_slugs:
        return 404
    if slug in config.retired_slugs:
        return 410
    if slug in config.forbidden_slugs:
        return 403
    return SPECIAL_REFUSED.get(slug)


def find_profile(slug: str, config: SimulatorConfig) -> ModelProfile | None:
    """The model's profile. A slug outside the catalogue gets a default one, or None if the catalogue is strict."""
    known = SPECIAL.get(slug) or catalogue().get(slug)
    if known is not None or config.strict_catalogue:
        return known
    return ModelProfile(slug, "unpublished", "image", None, None)
