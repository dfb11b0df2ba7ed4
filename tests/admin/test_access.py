"""Who may use the operators' surface, and that nothing secret is said aloud."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
import uvicorn
from fastapi import FastAPI

from app.core.database.db import Database
from app.core.logs.log import configure_logging
from tests.admin.conftest import ADMIN_KEY, app_with

ROUTES = [
    ("POST", "/tenants"),
    ("GET", "/tenants"),
    ("GET", "/tenants/x"),
    ("PATCH", "/tenants/x"),
    ("POST", "/tenants/x/keys"),
    ("GET", "/tenants/x/keys"),
    ("PATCH", "/keys/x"),
    ("DELETE", "/keys/x"),
    ("POST", "/tenants/x/credits"),
    ("POST", "/tenants/x/adjustments"),
    ("GET", "/models"),
    ("PUT", "/models/x"),
    ("GET", "/models/x"),
    ("GET", "/exposure"),
    ("GET", "/webhook-endpoints"),
    ("GET", "/deliveries"),
    ("GET", "/audit"),
    ("POST", "/pause"),
    ("POST", "/resume"),
    ("GET", "/jobs/x"),
    ("POST", "/jobs/x/resolve"),
]


@pytest.mark.parametrize(("verb", "path"), ROUTES)
@pytest.mark.parametrize(
    "header", [None, "Bearer", "Bearer ", "Bearer wrong", f"Basic {ADMIN_KEY}", ADMIN_KEY, f"Bearer {ADMIN_KEY}x"]
)
async def test_nobody_enters_without_the_key(
    anyone: httpx.AsyncClient, verb: str, path: str, header: str | None
) -> None:
    # not even the body is looked at: this one is not JSON
    answer = await anyone.request(
        verb,
        path,
        content=b"{",
        headers={"content-type": "application/json"} | ({"authorization": header} if header else {}),
    )
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["code"] == "unauthorized"
    assert ADMIN_KEY not in answer.text


async def test_a_tenant_s_key_is_no_operator_s(operator: httpx.AsyncClient, anyone: httpx.AsyncClient) -> None:
    tenant = (await operator.post("/tenants", json={"name": "no-operator"})).json()
    key = (await operator.post(f"/tenants/{tenant['id']}/keys", json={})).json()["key"]
    assert (await anyone.get("/tenants", headers={"authorization": f"Bearer {key}"})).status_code == 401


@pytest.mark.parametrize("unset", [None, ""])
async def test_without_an_admin_key_the_surface_is_closed(
    database: Database, database_url: str, unset: str | None
) -> None:
    app = app_with(database, database_url, unset)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway/admin/v1") as client:
        for header in ("Bearer ", "Bearer None", f"Bearer {ADMIN_KEY}"):
            answer = await client.get("/tenants", headers={"authorization": header})
            assert answer.status_code == 401
            assert "WAYSTATION_ADMIN_KEY" in answer.json()["detail"]


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncIterator[str]:
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None))
    task = asyncio.create_task(server.serve())
    async with asyncio.timeout(60):
        while not server.started:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    await task


async def test_over_a_socket_and_without_a_secret_in_the_log(app: FastAPI, capfd: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    configure_logging(format="json", level="DEBUG")
    try:
        async with (
            serving(app) as url,
            httpx.AsyncClient(
                base_url=f"{url}/admin/v1", headers={"authorization": f"Bearer {ADMIN_KEY}"}, timeout=60
            ) as operator,
        ):
            tenant = (await operator.post("/tenants", json={"name": "over-a-socket"})).json()
            issued = (await operator.post(f"/tenants/{tenant['id']}/keys", json={"name": "ci"})).json()
            principal = await app.state.keyring.authenticate(x_api_key=issued["key"], authorization=None)
            assert principal.tenant_name == "over-a-socket"
            refused = await operator.post("/tenants", json={"name": issued["key"], issued["key"]: 1})
            assert refused.status_code == 400
            logging.getLogger("tests").warning("presented %s", issued["key"])
    finally:
        root.handlers[:], root.level = handlers, level
    out, err = capfd.readouterr()
    assert "presented ws_live_" in err
    for secret in (issued["key"], issued["key"][17:], ADMIN_KEY, app.state.settings.secret_key.get_secret_value()):
        assert secret not in out + err
    assert ADMIN_KEY not in repr(app.state.settings)
