"""The operators' surface in an app of its own, with the handlers every app of ours installs."""

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError

from app.admin.http.surface import ROUTERS
from app.core.config.settings import load_settings
from app.core.database.db import Database
from app.core.errors import Refusal
from app.core.redis.doorbell import Doorbell
from app.limits.strangers import Strangers
from app.tenants.auth import Keyring
from app.web.bodies import Bodies
from app.web.problems import body_fields, problem_response, problems_of
from tests.factories.callers import SECRET

ADMIN_KEY = "admin-key-of-the-tests-0123456789"


def app_with(
    database: Database, database_url: str, admin_key: str | None, redis_url: str = "redis://127.0.0.1:1"
) -> FastAPI:
    app = FastAPI()
    for router in ROUTERS:
        app.include_router(router)
    app.state.settings = load_settings(
        database_url=database_url,
        redis_url=redis_url,
        public_url="http://localhost",
        secret_key=SECRET.decode(),
        admin_key=admin_key,
    )
    app.state.database = database
    app.state.bodies = Bodies()
    app.state.doorbell = Doorbell(redis_url)
    app.state.history = None
    app.state.strangers = Strangers(redis_url, trusted=())
    app.state.keyring = Keyring(database, secrets=app.state.settings.secrets)

    @app.exception_handler(Refusal)
    async def refused(_request: Request, refusal: Refusal) -> Response:
        return problem_response(refusal)

    @app.exception_handler(RequestValidationError)
    async def malformed(request: Request, error: RequestValidationError) -> Response:
        return problem_response(problems_of(error, fields=body_fields(request)))

    return app


@pytest.fixture(scope="session")
async def database(database_url: str) -> AsyncIterator[Database]:
    database = await Database.open(database_url, name="test", writers_max=4, readers_max=4)
    yield database
    await database.close()


@pytest.fixture
def app(database: Database, database_url: str) -> FastAPI:
    return app_with(database, database_url, ADMIN_KEY)


@pytest.fixture
async def anyone(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway/admin/v1") as client:
        yield client


@pytest.fixture
async def operator(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app),
        base_url="http://gateway/admin/v1",
        headers={"Authorization": f"Bearer {ADMIN_KEY}"},
    ) as client:
        yield client
