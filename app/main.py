"""The API process: connects all surfaces to one database and one intake."""

import asyncio
import contextlib
import resource
import socket
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any
from uuid import UUID

import uvicorn
from fastapi import FastAPI

from app.admin.http.surface import ROUTERS as ADMIN_ROUTERS
from app.api.billing_routes import router as api_billing_router
from app.api.jobs.quote_routes import router as quote_router
from app.api.jobs.routes import router as api_router
from app.api.jobs.routes import submit_router
from app.api.limit_routes import router as limits_router
from app.api.model_routes import router as api_models_router
from app.api.webhooks.event_routes import router as event_router
from app.api.webhooks.webhook_routes import router as webhook_router
from app.books.operations import find_doubt
from app.books.witness import Witness
from app.books.witness_store import WitnessStore
from app.catalog.check import Catalog
from app.core.config.settings import Settings
from app.core.database.db import Database
from app.core.database.schema import SchemaGate
from app.core.errors import StoreUnavailable, WrongConnection
from app.core.ids import new_id
from app.core.logs.log import get_logger
from app.core.process.cancel import cancel_all
from app.core.process.heartbeat import beating, stop_beating
from app.core.process.memory import return_large_blocks
from app.core.redis.doorbell import Doorbell
from app.error_responses import handle_errors
from app.http_client.guard import OUTPUT_NETWORKS, Guard
from app.jobs.reading.eta_estimator import EtaEstimator
from app.jobs.reading.reader import Reader
from app.jobs.reading.waiters import Waiters
from app.jobs.submit.quoting import Quoter
from app.jobs.submit.service import SubmitService
from app.limits.rates import RateLimiter
from app.limits.strangers import Strangers
from app.openapi import openapi_document
from app.reconciliation.tasks.history_of import history_of
from app.segmind.media import Downloads
from app.segmind.routes import routes as segmind_routes
from app.segmind.steady import SteadyPolls
from app.tenants.auth import Keyring
from app.web.bodies import Bodies
from app.web.pages.docs import routes as docs_routes
from app.web.pages.health import routes as health_routes
from app.web.server.answering import RESPONSE_HEADERS
from app.web.server.protocol import CONNECTIONS_MAX, Protocol
from app.web.server.rules import HttpRules
from app.web.server.serving import Server
from app.webhooks.secrets import Vault

log = get_logger(__name__)

WRITERS_MAX = 8
READERS_MAX = 8
READ_STATEMENT_SECONDS = 5.0
"""Postgres stops a longer read: a client waits for it, and other reads wait for its connection."""
LEAVE_SECONDS = 1.0
FILES_BESIDE_CONNECTIONS = 256


def create_app(settings: Settings, *, on_wrong: Callable[[WrongConnection], None] | None = None) -> FastAPI:
    """Return the ASGI application of one API process. `on_wrong`: see `Database.open`."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        opened = False
        try:
            async with contextlib.AsyncExitStack() as stack:
                await _open(app, settings, stack, on_wrong)
                opened = True
                yield
        except asyncio.CancelledError:
            if not opened:
                raise  # else the server has stopped waiting for the close: uvicorn would log a traceback

    app = FastAPI(
        title="Waystation",
        lifespan=lifespan,
        openapi_url="/openapi.json",
        docs_url=None,  # `app.web.pages.docs` serves it: FastAPI's own page needs the internet
        redoc_url=None,
        redirect_slashes=False,  # a redirect has no JSON body and trusts the Host header, and the SDK does not follow redirects
    )
    app.state.settings = settings
    app.state.public_url = settings.public_url
    app.state.stopping = asyncio.Event()
    app.router.routes.extend([*health_routes, *docs_routes, *segmind_routes])
    app.include_router(submit_router)
    app.include_router(api_router)
    app.include_router(quote_router)
    app.include_router(api_billing_router)
    app.include_router(limits_router)
    app.include_router(api_models_router)
    app.include_router(webhook_router)
    app.include_router(event_router)
    for router in ADMIN_ROUTERS:
        app.include_router(router)
    app.add_middleware(HttpRules)
    app.openapi = partial(openapi_document, app)  # type: ignore[method-assign]
    handle_errors(app)
    return app


async def _open(
    app: FastAPI,
    settings: Settings,
    stack: contextlib.AsyncExitStack,
    on_wrong: Callable[[WrongConnection], None] | None,
) -> None:
    """Open in order what the routes use on `app.state`. `stack` closes it in reverse order."""
    state = app.state
    process_id = new_id()
    await _open_database(state, settings, process_id, on_wrong)
    stack.push_async_callback(state.database.close)
    stack.push_async_callback(state.witness.leave)
    state.doorbell = Doorbell(settings.redis_url)
    stack.push_async_callback(state.doorbell.close)
    state.history = history_of(settings)
    if state.history is not None:
        stack.push_async_callback(state.history.close)
    state.keyring = Keyring(state.database, secrets=settings.secrets)
    state.find_doubt = find_doubt
    state.vault = Vault(settings.secrets)
    state.bodies = Bodies()
    state.guard = Guard(settings.webhook_networks)
    state.downloads = Downloads(settings.upstream_url, Guard(settings.output_networks, setting=OUTPUT_NETWORKS))
    state.waiters = Waiters(state.database)
    state.steady_polls = SteadyPolls(settings.redis_url)
    stack.push_async_callback(state.steady_polls.close)
    state.reader = Reader(state.database, state.waiters)
    state.rates = RateLimiter(settings.redis_url)
    stack.push_async_callback(state.rates.close)
    state.strangers = Strangers(settings.redis_url, trusted=settings.proxy_networks)
    stack.push_async_callback(state.strangers.close)

    def share_among(processes: int) -> None:
        state.rates.share_among(processes)
        state.strangers.share_among(processes)

    state.submit_service = SubmitService(
        default_price_micro=settings.default_price_micro,
        database=state.database,
        catalog=Catalog(state.database, unpriced_models=settings.unpriced_models),
        doorbell=state.doorbell,
        rates=state.rates,
    )
    stack.push_async_callback(state.submit_service.drained)
    stack.push_async_callback(_take_leave, state.database, process_id)
    state.eta = EtaEstimator(state.database)
    state.quoter = Quoter(
        database=state.database, submit_service=state.submit_service, eta=state.eta, rates=state.rates
    )
    await stack.enter_async_context(
        _background(
            state.database.prove_when_there(),
            state.doorbell.listen(state.waiters.wake),
            state.waiters.watch(),
            beating(
                state.database,
                process_id=process_id,
                kind="api",
                lease_seconds=settings.lease_seconds,
                told=share_among,
                schema=state.schema,
                beaten=state.witness.beaten,
            ),
            state.witness.keep(state.database),
        )
    )


async def _open_database(
    state: Any, settings: Settings, process_id: UUID, on_wrong: Callable[[WrongConnection], None] | None
) -> None:
    """Open the pools. Each connection checks the schema, and that the database is not older than what was sent."""
    state.schema = SchemaGate(on_wrong)
    state.witness = await _witness(settings, process_id)
    state.database = await Database.open(
        settings.database_url,
        name="api",
        writers_max=WRITERS_MAX,
        readers_max=READERS_MAX,
        read_seconds=READ_STATEMENT_SECONDS,
        on_wrong=on_wrong,
        schema=state.schema,
        check=state.witness.check,
    )


async def _witness(settings: Settings, process_id: UUID) -> Witness:
    witness = Witness(
        WitnessStore(settings.redis_url), process_id=process_id, lease_seconds=settings.lease_seconds, sends=False
    )
    await witness.recall()
    return witness


async def _take_leave(database: Database, process_id: UUID) -> None:
    """End the heartbeat: without Redis, the live processes divide the rate limits among themselves."""
    try:
        async with asyncio.timeout(LEAVE_SECONDS), database.statement() as session:
            await stop_beating(session, process_id=process_id)
    except (StoreUnavailable, TimeoutError) as error:
        log.warning("heartbeat.end_not_recorded", cause=repr(error))


@contextlib.asynccontextmanager
async def _background(*work: "asyncio._CoroutineLike[None]") -> AsyncIterator[None]:
    tasks = [asyncio.create_task(task) for task in work]
    try:
        yield
    finally:
        await cancel_all(tasks)


def run_api(settings: Settings, *, host: str, port: int, fd: int | None) -> None:
    """Serve until SIGTERM, then shut down as described in `Server`.

    Raises WrongConnection after such a shutdown, if a connection to Postgres proved wrong.
    """
    return_large_blocks()
    wrong: list[WrongConnection] = []

    def stop(error: WrongConnection) -> None:
        wrong.append(error)
        server.stop(delayed=False)

    app = create_app(settings, on_wrong=stop)
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        loop="uvloop",
        http=Protocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        headers=list(RESPONSE_HEADERS.items()),
        proxy_headers=False,  # TRUSTED_PROXIES decides whose X-Forwarded-For is trusted
        backlog=2048,
    )
    _make_room_for_connections()
    server = Server(
        config,
        delay_seconds=settings.shutdown_delay_seconds,
        grace_seconds=settings.grace_seconds,
        stopping=app.state.stopping,
        release=lambda: app.state.waiters.release(),
    )
    # uvicorn's own `fd` treats each descriptor as a Unix socket and keeps Nagle's algorithm on, which delays answers by 40 ms
    server.run(sockets=None if fd is None else [socket.socket(fileno=fd)])
    if wrong:
        raise wrong[0]


def _make_room_for_connections() -> None:
    """Raise the limit of open files to what connections need, or lower their number: without free files nobody could connect."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS_MAX + FILES_BESIDE_CONNECTIONS
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        Protocol.connections_max = max(1, min(CONNECTIONS_MAX, soft - FILES_BESIDE_CONNECTIONS))
