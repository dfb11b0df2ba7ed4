"""`/admin/v1`: webhook endpoints and deliveries of any tenant."""

import httpx

from tests.admin.conftest import ADMIN_KEY, app_with
from tests.factories.callers import Caller, make_caller
from tests.factories.hooks import Hooks
from tests.webhooks.conftest import caller, database, hooks, url

__all__ = ["caller", "database", "hooks", "url"]


async def test_endpoints_and_deliveries_of_any_tenant(hooks: Hooks, caller: Caller, url: str) -> None:
    other = await make_caller(hooks.database)
    endpoints = [await hooks.endpoint(one, "https://example.com/hook?token=1") for one in (caller, other, caller)]
    await hooks.emit(caller, 2)
    app = app_with(hooks.database, url, ADMIN_KEY)
    headers = {"authorization": f"Bearer {ADMIN_KEY}"}
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app), base_url="http://gateway", headers=headers
    ) as client:
        found = (await client.get("/admin/v1/webhook-endpoints", params={"limit": 2})).json()
        rest = (await client.get("/admin/v1/webhook-endpoints", params={"cursor": found["next_cursor"]})).json()
        assert [one["id"] for one in found["items"] + rest["items"]] == [f"whe_{one[0].hex}" for one in endpoints]
        assert "secret" not in found["items"][0]
        mine = (await client.get("/admin/v1/webhook-endpoints", params={"tenant": other.tenant.name})).json()["items"]
        assert [(one["tenant"], one["enabled"]) for one in mine] == [(other.tenant.name, True)]
        deliveries = (await client.get("/admin/v1/deliveries", params={"status": "pending"})).json()["items"]
        assert len(deliveries) == 4
        assert {one["tenant"] for one in deliveries} == {caller.tenant.name}
        of_one = {"endpoint_id": f"whe_{endpoints[0][0].hex}"}
        assert len((await client.get("/admin/v1/deliveries", params=of_one)).json()["items"]) == 2
        assert (await client.get("/admin/v1/deliveries", params={"endpoint_id": "x"})).status_code == 404
        assert (await client.get("/admin/v1/deliveries", params={"tenant": "nobody"})).status_code == 404
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://gateway") as stranger:
        for path in ("/admin/v1/webhook-endpoints", "/admin/v1/deliveries"):
            assert (await stranger.get(path)).status_code == 401
