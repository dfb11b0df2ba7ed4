"""The book: what is in it, when it is there, and that a simulator lives on from it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx
import orjson
import pytest

from app.simulator.book import Book, BookError, hash_body
from app.simulator.config import SimulatorConfig
from app.simulator.simulator import Simulator
from app.simulator.surface.serve import RunningSimulator, running_simulator

Submit = Callable[..., Awaitable[str]]
KEY = {"x-api-key": "SG_abcd1234"}


async def test_facts_of_a_run(sim: RunningSimulator, client: httpx.AsyncClient, submit: Submit) -> None:
    request_id = await submit("sim-instant", b=1, a=2)
    started, charged = sim.book.facts()
    assert (started["sequence"], charged["sequence"]) == (1, 2)
    assert (started["fact"], charged["fact"]) == ("started", "charged")
    assert started["request_id"] == charged["request_id"] == request_id
    assert (started["slug"], started["key"], started["body"]) == ("sim-instant", "dd59", '{"b":1,"a":2}')
    assert started["body_sha256"] == hash_body(b'{"b":1,"a":2}').exact
    assert started["canonical_sha256"] == hash_body(b'{ "a": 2, "b": 1 }').canonical
    assert charged["cost_micros"] == sim.book.charged()[request_id]


def test_the_canonical_hash_is_of_the_value() -> None:
    def canonical(text: str) -> str:
        return hash_body(text.encode()).canonical

    assert canonical('{"a":1,"b":[1.50,"x"]}') == canonical('{ "b": [ 1.5, "\\u0078" ], "a": 1 }')
    assert canonical('{"a":1e2}') == canonical('{"a":1.0E+2}') == canonical('{"a":100.0}')
    different = ['{"a":1}', '{"a":1.0}', '{"a":"1"}', '{"a":true}', '{"a":1e-400}', '{"a":0.0}', '{"a":-0.0}',
                 '{"a":18446744073709551617}', '{"a":1e99999999999999999999}', '{"a":1e99999999999999999998}', '{"a":18446744073709551618}', '{"a":null}', "{}"]  # fmt: skip
    assert len({canonical(text) for text in different}) == len(different)


async def test_the_fact_is_in_the_file_before_the_answer(tmp_path: Path) -> None:
    path = tmp_path / "book"
    async with running(path) as (sim, client):
        accepted = await client.post("/v2/sim-hang", json={})
        assert Book.read(path).started_ids() == [accepted.json()["request_id"]]
        await client.post("/v2/sim-retired", json={})
        assert [fact["status"] for fact in Book.read(path).refusals()] == [410]
        over_http = await client.get("/_simulator/book", params={"after": 1})
        assert over_http.content == path.read_bytes().partition(b"\n")[2]
        assert sim.book.raw() == path.read_bytes()


@contextlib.asynccontextmanager
async def running(path: Path, **settings: float) -> AsyncIterator[tuple[RunningSimulator, httpx.AsyncClient]]:
    config = SimulatorConfig(book_path=path, speed=settings.get("speed", 1000), seed=3)
    async with (
        running_simulator(config) as sim,
        httpx.AsyncClient(base_url=sim.url, headers=KEY, timeout=60) as client,
    ):
        yield sim, client


async def test_a_restarted_simulator_knows_its_runs(tmp_path: Path) -> None:
    path = tmp_path / "book"
    body = b'{"echo": 1.0 }'
    async with running(path, speed=10) as (sim, client):
        sim.config.sigma = 0
        instant = (await client.post("/v2/sim-instant", json={})).json()["request_id"]
        before = (await client.get(f"/v2/requests/{instant}")).json()
        hanging = (await client.post("/v2/sim-hang", json={})).json()["request_id"]
        echo = (await client.post("/v2/sim-echo", content=body, headers={"content-type": "application/json"})).json()[
            "request_id"
        ]
        assert echo not in sim.book.charged()
        paid = sim.config.credits_micros
    await asyncio.sleep(0.15)
    async with running(path) as (sim, client):
        after = (await client.get(f"/v2/requests/{instant}")).content
        assert orjson.loads(after.replace(sim.url.encode(), b"")) == orjson.loads(
            orjson.dumps(before).replace(before["output"].rpartition("/files")[0].encode(), b"")
        )
        assert (await client.get(f"/v2/requests/{hanging}/status")).json()["status"] == "PROCESSING"
        assert b'"output":1.0,' in (await client.get(f"/v2/requests/{echo}")).content
        assert sim.config.credits_micros == paid - sim.book.charged()[echo]
        assert sim.simulator.account.reserved_micros == 10_500
        fresh = (await client.post("/v2/sim-instant", json={})).json()["request_id"]
        assert sim.book.started_ids() == [instant, hanging, echo, fresh]
        assert len(set(sim.book.started_ids())) == 4
        assert [fact["sequence"] for fact in sim.book.facts()] == list(range(1, len(sim.book) + 1))


async def test_a_torn_last_line_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "book"
    async with running(path) as (_, client):
        known = (await client.post("/v2/sim-instant", json={})).json()["request_id"]
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"sequence":3,"fact":"star')
    async with running(path) as (sim, client):
        assert sim.book.started_ids() == [known]
        await client.post("/v2/sim-hang", json={})
    assert path.read_bytes().startswith(whole + b'{"sequence":3,"at":')


async def test_one_writer_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "book"
    async with running(path):
        with pytest.raises(BlockingIOError, match="another simulator writes this book"):
            Book(path)
    Book(path).close()
    assert path.exists()


@pytest.mark.parametrize("kept", [b"nonsense\n", b'{"fact":"started"}\n', b'{"fact":"charged","request_id":"x"}\n'])
def test_another_file_is_no_book(tmp_path: Path, kept: bytes) -> None:
    path = tmp_path / "book"
    path.write_bytes(kept)
    with pytest.raises(BookError, match="not a simulator's book"):
        Simulator(SimulatorConfig(book_path=path))
    assert path.read_bytes() == kept


async def test_runs_by_their_body(sim: RunningSimulator, submit: Submit) -> None:
    first, second, third = await submit(a=1, b=2), await submit(b=2, a=1), await submit(a=2)
    by_body = sim.book.starts_by_body()
    assert by_body == {
        hash_body(b'{"a":1,"b":2}').canonical: [first, second],
        hash_body(b'{"a":2}').canonical: [third],
    }
    assert sim.book.starts(b'{"a": 2}') == [third]
