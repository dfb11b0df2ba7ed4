"""Pure choices: whether a probe may be sent, with which input, and which request of the history it is."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final, Protocol

import orjson

from app.catalog.decide import validator_of
from app.catalog.faults import problems_of
from app.catalog.queries import Model
from app.core.credits import show_credits
from app.core.errors import Malformed, Refusal, sentence
from app.core.strict_json import parse_object, without_bom
from app.probe.models import BODY_BYTES_MAX
from app.probe.queries import LostProbe
from app.upstream.history_rows import HistoryRow, holds

NEAR: Final = timedelta(seconds=120)
"""The highest difference between our clock and the upstream's."""


class ProbeRefused(Refusal):
    """The probe was not sent, because of its price or because it has no input."""

    code = "probe_refused"


class Sent(Protocol):
    """A probe that was sent. body: its parameters."""

    @property
    def model(self) -> str: ...

    @property
    def body(self) -> Any: ...


def check_price(slug: str, model: Model | None, *, max_cost_micro: int) -> None:
    """Raise ProbeRefused unless the price is known and allowed. The price counts, or the published cost if that is higher."""
    price = None if model is None else model.price_micro
    if price is None:
        raise ProbeRefused(
            f"the price of {slug} is not known, so nothing was sent; set it with `waystation model set {slug} --price CREDITS`"
        )
    highest = max(price, (model.cost_micro or 0) if model is not None else 0)
    if highest > max_cost_micro:
        raise ProbeRefused(
            f"{slug} costs {show_credits(highest)} credits, and --max-cost allows {show_credits(max_cost_micro)}; nothing was sent"
        )


def choose_body(given: bytes | None, *, slug: str, schema: dict[str, Any] | None) -> bytes:
    """Return the input as it is sent: the given one, else the example in the schema, else the defaults of all parameters.

    Raises ProbeRefused if there is none, Malformed if it does not fit the schema.
    """
    if given is None:
        example = _example_of(schema or {})
        if example is None:
            raise ProbeRefused(
                f"the catalogue has no example of an input of {slug}; give one with --input NAME=VALUE or --input-file FILE"
            )
        given = orjson.dumps(example)
    body = without_bom(given).strip()
    if len(body) > BODY_BYTES_MAX:
        raise Malformed(f"the input is larger than {BODY_BYTES_MAX} bytes")
    parameters = parse_object(body, "the input")
    if schema is not None:
        problems = problems_of(validator_of(schema), schema, parameters, "$")
        if problems:
            raise Malformed(f"the input does not fit the schema of {slug}: {sentence(problems)}", problems=problems)
    return body


def read_pairs(pairs: Sequence[str]) -> bytes:
    """Return the body of `name=value` texts. A value that is JSON is taken so, any other is a text. Raises Malformed."""
    members: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name or name in members:
            raise Malformed("--input: expected NAME=VALUE, each name once, such as --input fps=7")
        try:
            members[name] = orjson.loads(text)
        except orjson.JSONDecodeError:
            members[name] = text
    return orjson.dumps(members)


def _example_of(schema: dict[str, Any]) -> dict[str, Any] | None:
    whole = _first(schema)
    if isinstance(whole, dict):
        return whole
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return None
    found = {name: _first(one) for name, one in properties.items() if isinstance(one, dict) and _has_first(one)}
    needed = schema.get("required", [])
    return found if found and all(name in found for name in needed) else None


def _has_first(schema: dict[str, Any]) -> bool:
    return "default" in schema or "example" in schema or bool(schema.get("examples"))


def _first(schema: dict[str, Any]) -> Any:
    examples = schema.get("examples")
    if isinstance(examples, list) and examples:
        return examples[0]
    return schema.get("example", schema.get("default"))


def fits(row: HistoryRow, sent: Sent) -> bool:
    """Whether the row has the model and the parameters of what was sent. An empty input fits only an empty one."""
    if row.model != sent.model or row.body is None:
        return False
    return row.body == sent.body or (bool(sent.body) and holds(row.body, sent.body))


def find_lost(row: HistoryRow, probes: Sequence[LostProbe]) -> LostProbe | None:
    """Return the lost probe that made this request, or None unless exactly one can have made it."""
    if row.created_at is None:
        return None
    found = [one for one in probes if fits(row, one) and abs(one.sent_at - row.created_at) <= NEAR]
    return found[0] if len(found) == 1 else None


def find_own(rows: Sequence[HistoryRow], probe: LostProbe, *, rivals: Sequence[Any]) -> HistoryRow | None:
    """Return the request that the probe made, or None unless exactly one row fits. rows: each request once, without those
    that have an owner. rivals: the parameters of all else that was sent to the model and has no known request."""
    near = [
        row
        for row in rows
        if row.model == probe.model and (row.created_at is None or abs(row.created_at - probe.sent_at) <= NEAR)
    ]
    if any(row.body is None or row.created_at is None for row in near):
        return None  # it may be the probe's, or anything else
    found = [row for row in near if fits(row, probe)]
    if len(found) != 1 or any(fits(found[0], LostProbe(probe.model, body, probe.sent_at, probe.id)) for body in rivals):
        return None
    return found[0]
