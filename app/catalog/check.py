"""Checks whether a job may use a model, and whether its parameters fit the model."""

import re
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import jsonschema_rs

from app.catalog.decide import Terms, validator_of
from app.catalog.faults import problems_of
from app.catalog.queries import list_models_by_slug
from app.core import clock
from app.core.database.db import Database
from app.core.errors import Forbidden, Malformed, NotFound, Refusal, StoreUnavailable, sentence
from app.core.off_loop import run_sized

SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
RESERVED = frozenset({"requests", "get-user-credits"})
"""Paths of the upstream's API, which no model can have as its slug."""
FRESH_SECONDS = 5.0
KEPT_MAX = 2_000


class SlugInvalid(NotFound):
    """404: no model can have this slug."""

    code = "model_not_found"

    def __init__(self, slug: str) -> None:
        words = (
            f"`{slug}` is a path of this API, not a model"
            if slug in RESERVED
            else "a model's slug has letters, digits, `.`, `_` and `-`, begins with a letter or digit, and has at most 128"
            " characters, such as motionctrl-svd"
        )
        super().__init__(words)


class ModelUnknown(NotFound):
    """404: the catalogue does not have the model, and unknown models are refused here."""

    code = "model_not_found"

    def __init__(self, slug: str) -> None:
        super().__init__(f"model {slug!r} is not in the catalogue")


class ModelUnpriced(NotFound):
    """404: the model has no price, and such models are refused here."""

    code = "model_unpriced"

    def __init__(self, slug: str) -> None:
        super().__init__(f"model {slug!r} has no price yet and cannot be used")


class ModelDisabled(Forbidden):
    """403: an operator has switched the model off, for everybody or for this tenant."""

    code = "model_not_allowed"

    def __init__(self, slug: str) -> None:
        super().__init__(f"model {slug!r} is not allowed for this tenant")


class ModelRetired(Refusal):
    """410: the upstream no longer has the model."""

    status = 410
    code = "model_retired"

    def __init__(self, slug: str) -> None:
        super().__init__(f"model {slug!r} was retired by the upstream")


class ParametersInvalid(Malformed):
    """400: the input does not match the model's schema."""

    code = "invalid_parameters"


@dataclass(frozen=True, slots=True)
class _Known:
    validator: jsonschema_rs.Validator | None
    schema: Any
    enabled: bool
    retired: bool
    terms: Terms


def is_slug(text: str) -> bool:
    """Whether a model can have this slug."""
    return SLUG.fullmatch(text) is not None and text not in RESERVED


def checked_slug(slug: str) -> str:
    """Return the slug. Raises SlugInvalid."""
    if not is_slug(slug):
        raise SlugInvalid(slug)
    return slug


class Catalog:
    """One process's cache of the catalogue, at most FRESH_SECONDS old."""

    def __init__(self, database: Database, *, unpriced_models: Literal["refuse", "pass"]) -> None:
        self._database = database
        self._pass = unpriced_models == "pass"
        self._kept: OrderedDict[str, tuple[_Known, float]] = OrderedDict()
        # separate from the known ones, so that many invented slugs remove none of them
        self._missing: OrderedDict[str, float] = OrderedDict()

    async def check(
        self,
        slug: str,
        parameters: dict[str, Any],
        *,
        cost: int = 0,
        allowed: frozenset[str] | None = None,
        at: str = "$",
    ) -> Terms:
        """Return what a job of the model costs.

        cost: of parsing the parameters. allowed: the only models of this tenant. at: the path of the parameters in the body.
        Raises ModelUnknown, ModelUnpriced, ModelDisabled, ModelRetired, or ParametersInvalid with the path of every fault.
        """
        if allowed is not None and slug not in allowed:
            raise ModelDisabled(slug)
        known = await self._known(slug)
        if known is None:
            if not self._pass:
                raise ModelUnknown(slug)
            return Terms()
        if known.retired:
            raise ModelRetired(slug)
        if not known.enabled:
            raise ModelDisabled(slug)
        if known.terms.price_micro is None and not self._pass:
            raise ModelUnpriced(slug)
        if known.validator is not None:
            problems = await run_sized(cost, problems_of, known.validator, known.schema, parameters, at)
            if problems:
                raise ParametersInvalid(sentence(problems), problems=problems)
        return known.terms

    async def find_slug(self, slug: str) -> str | None:
        """Return the slug if the catalogue has it, else None. It is for the record of a refused submit.

        A cached answer is enough however old. Returns None if the database is unavailable.
        """
        if slug in self._kept:
            return slug
        if not SLUG.fullmatch(slug):
            return None
        try:
            return slug if await self._known(slug) is not None else None
        except StoreUnavailable:
            return None

    async def _known(self, slug: str) -> _Known | None:
        found = self._kept.get(slug)
        now = clock.monotonic()
        if found is not None and found[1] > now:
            return found[0]
        if self._missing.get(slug, 0.0) > now:
            return None
        async with self._database.snapshot() as session:
            model = (await list_models_by_slug(session, slugs=[slug])).get(slug)
        if model is None:
            self._kept.pop(slug, None)
            _keep(self._missing, slug, now + FRESH_SECONDS)
            return None
        validator = validator_of(model.schema) if model.schema is not None else None
        terms = Terms(model.price_micro, model.price_rule, model.markup_micro)
        known = _Known(validator, model.schema, model.enabled, model.retired_at is not None, terms)
        _keep(self._kept, slug, (known, now + FRESH_SECONDS))
        return known


Answer = TypeVar("Answer")


def _keep(answers: OrderedDict[str, Answer], slug: str, answer: Answer) -> None:
    """Keep the answer, and at most KEPT_MAX answers."""
    answers[slug] = answer
    answers.move_to_end(slug)
    if len(answers) > KEPT_MAX:
        answers.popitem(last=False)
