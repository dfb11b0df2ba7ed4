"""Faults: rules that spoil some of the answers, and how one answer is spoilt.

A rule, as JSON: `{"match": kind, "slug"?, "contains"?, "nth"?, "count"?, "probability"?, "fault": name, …}`. `match`
is `submit`, `sync`, `status`, `result`, `history`, `credits`, `models`, `file` or `any`. `slug` is the model, and
`contains` a text in the body, of the submit, or of the submit whose status, result, file or row is requested. A rule fires at every matching
request; or from the `nth` on (`count` times, default 1); or `count` times; or with a `probability`. The first rule
that fires wins; later rules do not see that request.

Faults and their members, with defaults:
    reset, close        before anything is done: RST, or an orderly end without an answer
    hang                no answer; `accepted` (false: nothing is done, true: it is done)
    lose_answer         it is done, then the answer is lost: `after` nothing|header|body, `how` close|reset|hang
    delay               `seconds` (1), `when` after|before: only the answer is late, or everything is done late
    answer              `status` (500), `body` | `body_base64` | `html` (false) | `error`, `content_type`, `headers`,
                        `accepted` (false: nothing is done, true: it is done and its own answer is replaced)
    redirect            `status` (307), `location`; nothing is done
    wrong_json, list, no_request_id   it is done; the answer is cut-off JSON, in a list, or without its request_id
    same_id             nothing is done; the answer names the run that was started last
    repeat_id           a run is started, but the answer names the run that the last answer for this model named;
                        `same_run` (false) true: no run is started. The first submit of a model is answered as usual
    double_start        two runs are started, the answer names the first
    dear                the run costs `credits` (1), whatever its model costs and the account has reserved
    fail                the run takes its time and ends FAILED with `error`
    not_found_until     404 until the run is `seconds` (1) old
    state               status and result show `state` (QUEUED), whatever the real state is
    flap                until the run ends, its status and result show one of `states` (PROCESSING, QUEUED) after the
                        other, again and again
    gzip                it is done; the answer is compressed, and content-encoding says so
    pad                 it is done; a JSON object gets a member `padding` of `bytes` (2200000): an array of the number 0,
                        or a string if `padding` is text
    no_cost             the answer shows neither the cost of runs nor the balance
    close_idle          the answer is good; `seconds` (0) later the connection is closed
"""

import gzip
import random
import re
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from typing import Annotated, Any, Literal

import orjson
from pydantic import Base64Bytes, BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from app.simulator.http.http import HTML, JSON, Answer, Cut, Later, Reply, error, html
from app.simulator.runs import State

FaultName = Literal[
    "reset", "close", "hang", "lose_answer", "delay", "answer", "redirect", "wrong_json", "list", "no_request_id",
    "same_id", "double_start", "not_found_until", "state", "close_idle",
    "no_cost", "dear", "fail", "gzip", "pad", "repeat_id", "flap",
]  # fmt: skip
CallKind = Literal["submit", "sync", "status", "result", "history", "credits", "models", "file"]
STEERED = frozenset({"same_id", "double_start", "not_found_until", "state", "dear", "fail", "repeat_id", "flap"})
"""Faults that are implemented where the answer is made, not in `apply`."""
PADDING_BYTES_MAX = 256 * 1024 * 1024

_COST = re.compile(rb',"cost":[-+.0-9e]+,"remaining_credits":[-+.0-9e]+')
_NULL_COST = re.compile(rb'("credits_deduction":)[-+.0-9e]+')


class FaultError(ValueError):
    """An invalid rule. The message says which member and why."""


class FaultRule(BaseModel):
    """One rule. The top of this file describes the members."""

    model_config = ConfigDict(extra="forbid", strict=True)

    fault: FaultName
    match: CallKind | Literal["any"] = "any"
    slug: str | None = None
    contains: str | None = None
    nth: Annotated[int, Field(ge=1)] | None = None
    count: Annotated[int, Field(ge=1)] | None = None
    probability: Annotated[float, Field(ge=0, le=1)] | None = None
    after: Literal["nothing", "header", "body"] = "nothing"
    how: Literal["close", "reset", "hang"] = "close"
    when: Literal["after", "before"] = "after"
    seconds: Annotated[float, Field(ge=0)] | None = None
    status: Annotated[int, Field(ge=200, le=599)] | None = None
    body: str | None = None
    body_base64: Annotated[Base64Bytes, Field(strict=False)] | None = None
    html: bool = False
    error: str | None = None
    content_type: str | None = None
    headers: dict[str, str] | None = None
    accepted: bool = False
    location: str = ""
    state: State = "QUEUED"
    states: Annotated[list[State], Field(min_length=1)] = ["PROCESSING", "QUEUED"]
    same_run: bool = False
    credits: Annotated[float, Field(ge=0)] = 1.0
    bytes: Annotated[int, Field(ge=0, le=PADDING_BYTES_MAX)] = 2_200_000
    padding: Literal["numbers", "text"] = "numbers"
    seen: Annotated[int, Field(init=False)] = 0
    """How many requests matched so far."""
    fired: Annotated[int, Field(init=False)] = 0
    _shown: Counter[str] = PrivateAttr(default_factory=Counter)
    """How many of `states` were shown, by request id."""

    def fires(self, chance: Callable[[], float]) -> bool:
        """Whether the rule applies to the request that has just matched. Counts the request."""
        self.seen += 1
        limit = self.count if self.count is not None else (1 if self.nth is not None else None)
        if self.seen < (self.nth or 1) or (limit is not None and self.fired >= limit):
            return False
        if self.probability is not None and chance() >= self.probability:
            return False
        self.fired += 1
        return True

    def next_state(self, request_id: str) -> State:
        """The next of `states` for this run."""
        self._shown[request_id] += 1
        return self.states[(self._shown[request_id] - 1) % len(self.states)]

    def lasts(self, otherwise: float) -> float:
        """The rule's `seconds`, or this default."""
        return otherwise if self.seconds is None else self.seconds


def read_rules(given: Any) -> list[FaultRule]:
    """Read rules from JSON: a list, an object with a list in `rules`, or one rule. Raises FaultError."""
    if isinstance(given, dict):
        given = given.get("rules", [given])
    if not isinstance(given, list):
        raise FaultError("expected a list of rules")
    try:
        return [FaultRule.model_validate(rule) for rule in given]
    except ValidationError as problem:
        first = problem.errors()[0]
        raise FaultError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None


class FaultRules:
    """The rules in force, tried in order."""

    def __init__(self, seed: int | None) -> None:
        self.rules: list[FaultRule] = []
        self._chance = random.Random(seed).random

    def pick(self, kind: str, slug: str | None, body: bytes = b"") -> FaultRule | None:
        """Return the rule that spoils this request's answer, or None. `body`: what was submitted."""
        for rule in self.rules:
            matches = rule.match in (kind, "any") and rule.slug in (None, slug)
            matches = matches and (rule.contains is None or rule.contains.encode() in body)
            if matches and rule.fires(self._chance):
                return rule
        return None


def apply(rule: FaultRule, make: Callable[[], Reply]) -> Reply:
    """Return the spoilt reply. `make` carries out the request and returns the good reply. Not for STEERED faults."""
    match rule.fault:
        case "reset":
            return Cut("reset")
        case "close":
            return Cut("close")
        case "hang" if not rule.accepted:
            return Cut("hang")
        case "redirect":
            return Answer(rule.status or 307, b"", headers=(("location", rule.location), *_headers(rule)))
        case "delay" if rule.when == "before":
            return Later(rule.lasts(1.0), make)
        case "answer" if not rule.accepted:
            return _replacement(rule)
    return _with_answer(make(), lambda answer: _spoil(rule, answer))


def _with_answer(reply: Reply, then: Callable[[Answer], Reply]) -> Reply:
    """Apply `then` to the answer, as soon as there is one."""
    if isinstance(reply, Answer):
        return then(reply)
    if isinstance(reply, Later):
        return Later(reply.seconds, lambda: _with_answer(reply.make(), then))
    return reply


def _spoil(rule: FaultRule, answer: Answer) -> Reply:
    match rule.fault:
        case "hang":
            return Cut("hang")
        case "lose_answer":
            return Cut(rule.how, rule.after, answer)
        case "delay":
            return Later(rule.lasts(1.0), lambda: answer)
        case "answer":
            return _replacement(rule)
        case "wrong_json":
            answer.body = answer.body[: len(answer.body) // 2]
        case "list":
            answer.body = b"[" + answer.body + b"]"
        case "no_request_id":
            members = orjson.loads(answer.body)
            answer.body = orjson.dumps({name: value for name, value in members.items() if name != "request_id"})
        case "gzip":
            answer.body = gzip.compress(answer.body, compresslevel=1, mtime=0)
            answer.headers = (*answer.headers, ("content-encoding", "gzip"))
        case "pad":
            answer.body = _padded(answer.body, _padding(rule.padding, rule.bytes))
        case "no_cost":
            answer.body = _NULL_COST.sub(rb"\1null", _COST.sub(b"", answer.body))
        case "close_idle":
            answer.close_idle_seconds = rule.lasts(0.0)
    return answer


def _padded(body: bytes, padding: bytes) -> bytes:
    """Put one more member first in a JSON object. Any other body is unchanged."""
    if not body.startswith(b"{"):
        return body
    return b'{"padding":%b%b%b' % (padding, b"" if body.startswith(b"{}") else b",", body[1:])


@lru_cache(maxsize=4)
def _padding(kind: Literal["numbers", "text"], size: int) -> bytes:
    """A JSON value of about `size` bytes: two for each number, or one for each character."""
    return b"[%b0]" % (b"0," * (size // 2)) if kind == "numbers" else b'"%b"' % (b"x" * size)


def _headers(rule: FaultRule) -> tuple[tuple[str, str], ...]:
    return tuple((rule.headers or {}).items())


def _replacement(rule: FaultRule) -> Answer:
    status = rule.status or 500
    if rule.body_base64 is not None:
        answer = Answer(status, rule.body_base64)
    elif rule.body is not None:
        answer = Answer(status, rule.body.encode())
    elif rule.html:
        answer = html(status)
    else:
        answer = error(status, rule.error or "Internal server error")
    answer.content_type = rule.content_type.encode() if rule.content_type else (HTML if rule.html else JSON)
    answer.headers = _headers(rule)
    return answer
