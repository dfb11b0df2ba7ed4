"""The table of what can come of a submit: each shape on a real socket, each verdict held against the upstream's book."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest

from app.simulator.book import Book, hash_body
from app.simulator.config import SimulatorConfig
from app.simulator.surface.serve import RunningSimulator, running_simulator
from app.upstream.client import UpstreamClient
from app.upstream.wire import Outcome, OutcomeKind
from tests.chaos.form import Form
from tests.doubles.raw_server import Peer, RawServer, raw_server, unused_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

K = OutcomeKind
BeforeSend = Callable[[], Awaitable[None]]
IMPATIENT_SECONDS = 6.0
"""Enough to open all connections of a round and to send on them, on a busy machine too: what has not been sent by then is
rightly judged as not sent."""
PATIENT_SECONDS = 60.0
NOTHING_BEGAN = {K.NOT_SENT, K.THROTTLED, K.ACCOUNT, K.REJECTED}
"""Verdicts after which a submit may be sent again, or its sender told that it costs nothing."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What becomes of a submit, and how it is to be judged.

    spoilt: rules of the simulator that produce it, several where the run may or may not have begun; none: it does not
    get that far, because of the place it is sent to.
    """

    name: str
    kind: OutcomeKind
    spoilt: tuple[Mapping[str, Any], ...] = ()
    place: str = "upstream"


def _answer(status: int, **members: Any) -> dict[str, Any]:
    return {"fault": "answer", "status": status, **members}


def _either(status: int, **members: Any) -> tuple[dict[str, Any], ...]:
    """An answer that says nothing about whether the run has begun: once it has not, once it has."""
    return tuple(_answer(status, accepted=accepted, **members) for accepted in (False, True))


def _lost(after: str) -> tuple[dict[str, Any], ...]:
    return tuple({"fault": "lose_answer", "after": after, "how": how} for how in ("close", "reset"))


SHAPES = (
    Shape("refused", K.NOT_SENT, place="refused"),
    Shape("no such host", K.NOT_SENT, place="no such host"),
    Shape("black hole", K.NOT_SENT, place="black hole"),
    Shape("no TLS there", K.NOT_SENT, place="no TLS there"),
    Shape("reset before a byte is sent", K.NOT_SENT, place="resetting"),
    Shape("reset after it was sent", K.UNKNOWN, ({"fault": "reset"}, {"fault": "close"}, *_lost("nothing"))),
    Shape("half a header", K.UNKNOWN, _lost("header")),
    Shape("half a body", K.UNKNOWN, _lost("body")),
    Shape("time-out", K.UNKNOWN, ({"fault": "hang"}, {"fault": "hang", "accepted": True}), place="impatient"),
    Shape("200 without an id", K.UNKNOWN, ({"fault": "no_request_id"}, {"fault": "wrong_json"}, {"fault": "list"})),
    Shape("200 HTML", K.UNKNOWN, _either(200, html=True)),
    Shape("204", K.UNKNOWN, _either(204, body="")),
    Shape("3xx", K.UNKNOWN, (*({"fault": "redirect", "status": code} for code in (302, 307)), *_either(303, body=""))),
    Shape("400", K.REJECTED, (_answer(400),)),
    Shape("401", K.ACCOUNT, (_answer(401),)),
    Shape("409", K.REJECTED, (_answer(409),)),
    Shape("413", K.REJECTED, (_answer(413, html=True),)),
    Shape("422", K.REJECTED, (_answer(422),)),
    Shape("425", K.THROTTLED, (_answer(425),)),
    Shape("429", K.THROTTLED, (_answer(429), _answer(429, headers={"retry-after": "1"}))),
    Shape("500", K.UNKNOWN, _either(500)),
    Shape("502", K.UNKNOWN, _either(502, html=True)),
    Shape("503", K.UNKNOWN, (*_either(503), *_either(503, headers={"retry-after": "1"}))),
    Shape("504", K.UNKNOWN, _either(504, html=True)),
)
SUBMITS = [
    (shape, f"shape-{number}-{place}", rule)
    for number, shape in enumerate(SHAPES)
    for place, rule in enumerate(shape.spoilt or ({},))
]
"""Each shape in each of its ways, with a model of its own, by which the simulator knows what to do."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One submit and its verdict."""

    shape: Shape
    body: bytes
    outcome: Outcome


@contextmanager
def black_hole() -> Iterator[int]:
    """A port that answers no SYN: its queue is full, and nobody takes anything out of it."""
    with contextlib.ExitStack() as sockets:
        listening = sockets.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(4):
            filling = sockets.enter_context(socket.socket())
            filling.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filling.connect(listening.getsockname())
        yield listening.getsockname()[1]


@asynccontextmanager
async def places(sim: RunningSimulator) -> AsyncIterator[tuple[dict[str, UpstreamClient], RawServer]]:
    """A client for each place, and the server that resets each connection at once."""

    async def resetting(peer: Peer) -> None:
        peer.reset()

    async with raw_server(resetting) as resetter, contextlib.AsyncExitStack() as clients:
        hole = clients.enter_context(black_hole())
        urls = {
            "upstream": sim.url,
            "impatient": sim.url,
            "refused": f"http://127.0.0.1:{unused_port()}",
            "no such host": "http://nowhere.invalid",
            "black hole": f"http://127.0.0.1:{hole}",
            "no TLS there": sim.url.replace("http:", "https:"),
            "resetting": resetter.url,
        }
        made = {
            place: UpstreamClient(
                url=url,
                api_key="SG_3ec0a235721add59",
                submit_connections_max=len(SUBMITS),
                poll_connections_max=1,
                connect_seconds=IMPATIENT_SECONDS if place == "black hole" else PATIENT_SECONDS,
                submit_seconds=IMPATIENT_SECONDS if place == "impatient" else PATIENT_SECONDS,
            )
            for place, url in urls.items()
        }
        for client in made.values():
            clients.push_async_callback(client.close)
        yield made, resetter
        assert resetter.received == b""


async def soon() -> None:
    """As long as an attempt takes to be opened."""
    await asyncio.sleep(0.02)


async def judge(client: UpstreamClient, shape: Shape, model: str, before_send: BeforeSend) -> Judged:
    """Submit once, to a place that does what the shape says."""
    body = json.dumps({"marker": uuid4().hex}).encode()
    outcome = await client.submit(model=model, body=body, before_send=before_send)
    return Judged(shape, body, outcome)


async def test_every_shape_is_judged_as_the_book_has_it(form: Form) -> None:
    chance, rounds = form.chance(), form.pick(3, 100)
    config = SimulatorConfig(seed=form.seed, credits_micros=10**15)
    judged: list[Judged] = []
    good = Shape("accepted", K.ACCEPTED)
    async with running_simulator(config) as sim, places(sim) as (clients, resetter):
        sim.set_faults(*({"match": "submit", "slug": model, **rule} for _, model, rule in SUBMITS if rule))
        for _ in range(rounds):
            work = [(shape, model) for shape, model, _ in chance.sample(SUBMITS, len(SUBMITS))]
            work.append((good, "sim-echo"))
            judged += await asyncio.gather(
                *(
                    judge(
                        clients[shape.place], shape, model, resetter.until_gone if shape.place == "resetting" else soon
                    )
                    for shape, model in work
                )
            )
        assert_the_book_agrees(sim.book, judged)
    tried = sum(one.outcome.kind in NOTHING_BEGAN for one in judged)
    print(
        f"{len(SHAPES)} of {len(SHAPES)} shapes in their class, {len(judged)} submits; of {tried} said to have begun"
        f" nothing 0 had: the rate is below {3 / tried:.2%} (95 %)"
    )
    assert len(SHAPES) == 24


def assert_the_book_agrees(book: Book, judged: list[Judged]) -> None:
    """Each in its class; what is said to have begun nothing began nothing, what was not sent is not in the book at all."""
    started = book.starts_by_body()
    known = {fact.get("body_sha256") for fact in book.facts()}
    begun_unknown: dict[str, set[bool]] = {}
    for one in judged:
        kind, hashed = one.outcome.kind, hash_body(one.body)
        runs = started.get(hashed.canonical, [])
        assert kind is one.shape.kind, f"{one.shape.name}: {one.outcome}"
        assert kind not in NOTHING_BEGAN or runs == [], f"{one.shape.name}: began {runs}, {one.outcome}"
        assert kind is not K.NOT_SENT or hashed.exact not in known, f"{one.shape.name}: arrived, {one.outcome}"
        assert kind is not K.ACCEPTED or runs == [one.outcome.upstream_id], f"{one.shape.name}: {runs}, {one.outcome}"
        begun_unknown.setdefault(one.shape.name, set()).add(bool(runs))
    both = {name for name, begun in begun_unknown.items() if begun == {True, False}}
    assert {"time-out", "200 HTML", "500", "503", "504"} <= both, "the same answer, whether it began or not"
