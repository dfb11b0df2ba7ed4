"""Real servers for every test that asks: one Postgres and one Valkey a run, a database of its own for each process.

database_url    a migrated, empty database, shared by the tests of one process
new_database    makes another, for one test
redis_url       a Redis database shared by the tests of one process, empty at first
stack           the running gateway: two API processes, a worker, the simulator; on a database of its own
client          an HTTP client of `stack` with a new tenant's key
"""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import asdict
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from tests.gateway import Gateway, TenantKey, running_gateway
from tests.servers import REDIS_DATABASES, REDIS_SHARE, Servers, Urls, temporary_database, with_path

_SERVERS = pytest.StashKey[Servers]()
_URLS = pytest.StashKey[Urls]()

NewDatabase = Callable[[], Awaitable[str]]


def _started(config: pytest.Config) -> Urls:
    """The servers of this run, started when first asked for by the process that controls it."""
    if _URLS not in config.stash:
        config.stash[_SERVERS] = Servers()
        config.stash[_URLS] = config.stash[_SERVERS].start()
    return config.stash[_URLS]


class _Distributed:
    """What only a run with xdist has."""

    @pytest.hookimpl
    def pytest_configure_node(self, node: Any) -> None:
        node.workerinput["servers"] = asdict(_started(node.config))


def pytest_configure(config: pytest.Config) -> None:
    if config.pluginmanager.hasplugin("xdist"):
        config.pluginmanager.register(_Distributed())


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes that are no text do not name a test: compressed ones may differ in each process, and then xdist stops."""
    return argname if isinstance(val, bytes) and not val.isascii() else None


def pytest_unconfigure(config: pytest.Config) -> None:
    if _SERVERS in config.stash:
        config.stash[_SERVERS].stop()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was skipped, and why, also where that is nothing."""
    reasons = Counter(_reason(report) for report in terminalreporter.stats.get("skipped", []))
    terminalreporter.section(f"{reasons.total()} skipped")
    for reason, count in reasons.most_common():
        terminalreporter.line(f"{count} × {reason}")


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    found = report.longrepr
    return found[2].removeprefix("Skipped: ") if isinstance(found, tuple) else str(found)


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest) -> Urls:
    workerinput = getattr(request.config, "workerinput", None)
    return Urls(**workerinput["servers"]) if workerinput else _started(request.config)


@pytest.fixture(scope="session")
async def database_url(servers: Urls) -> AsyncIterator[str]:
    async with temporary_database(servers.database, template=servers.template) as url:
        yield url


@pytest.fixture
async def new_database(servers: Urls) -> AsyncIterator[NewDatabase]:
    async with AsyncExitStack() as made:

        async def create() -> str:
            return await made.enter_async_context(temporary_database(servers.database, template=servers.template))

        yield create


@pytest.fixture(scope="session")
async def redis_url(servers: Urls, request: pytest.FixtureRequest) -> str:
    workerinput = getattr(request.config, "workerinput", {"workerid": "gw0"})
    number = int(workerinput["workerid"].removeprefix("gw")) % (REDIS_DATABASES // REDIS_SHARE)
    url = with_path(servers.redis, str(1 + number * REDIS_SHARE))
    async with Redis.from_url(url) as redis:
        await redis.flushdb()
    return url


@pytest.fixture(scope="session")
async def stack(servers: Urls, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gateway]:
    directory = tmp_path_factory.mktemp("stack")
    async with (
        temporary_database(servers.database, template=servers.template) as url,
        running_gateway(database_url=url, redis_url=redis_url, directory=directory) as gateway,
    ):
        # a published run time, so that the first poll comes as soon as these end
        await gateway.sql(
            "INSERT INTO models (slug, run_seconds) SELECT 'sim-' || unnest($1::text[]), 0.02",
            ["instant", "fail", "echo", "images", "video", "text", "odd"],
        )
        yield gateway


@pytest.fixture
async def tenant(stack: Gateway) -> TenantKey:
    return await stack.tenant()


@pytest.fixture
async def client(stack: Gateway, tenant: TenantKey) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=stack.url, headers=tenant.headers, timeout=40) as made:
        yield made
