"""`GET /api/v1/models`: what a tenant may ask for, at which price; and that it gets no more."""

from typing import Any

import httpx
import pytest

from tests.api.conftest import assert_problem
from tests.gateway import Gateway, TenantKey, ended, eventually

URL = "/api/v1/models"
SEED_MODEL = "motionctrl-svd"


async def restrict(stack: Gateway, tenant: TenantKey, slugs: list[str] | None) -> None:
    """Set the tenant's list, and wait until every API process has heard of it."""
    await stack.sql("UPDATE tenants SET models = $2 WHERE id = $1", tenant.id, slugs)

    async def heard(url: str) -> bool:
        async with httpx.AsyncClient(base_url=url, headers=tenant.headers, timeout=60) as client:
            listed = [model["slug"] for model in (await client.get(URL)).json()["items"]]
        return (slugs is None) == (len(listed) > len(slugs or []))

    for url in stack.urls:
        await eventually(lambda url=url: heard(url), gap_seconds=0.2)


async def test_the_list_is_pages_in_order(client: httpx.AsyncClient) -> None:
    seen: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = (await client.get(URL, params={"limit": "200", **cursor})).json()
        seen += page["items"]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    slugs = [model["slug"] for model in seen]
    assert len(slugs) >= 503
    assert len(set(slugs)) == len(slugs)
    [seed] = [model for model in seen if model["slug"] == SEED_MODEL]
    assert seed == (await client.get(f"{URL}/{SEED_MODEL}")).json()
    assert (seed["price"], seed["price_rule"], seed["markup"]) == ("0.133923", "metered", "1.000000")
    assert (seed["title"], seed["mean_run_seconds"]) == ("Motion Control SVD", 62.74)
    assert seed["schema"]["required"] == ["cond_aug", "fps", "input_image", "motion", "motion_bucket_id"]
    assert len((await client.get(URL)).json()["items"]) == 50


@pytest.mark.parametrize("query", [{"limit": "0"}, {"limit": "201"}, {"limit": "x"}, {"cursor": "a b"}, {"cursor": ""}])
async def test_pages_that_cannot_be(client: httpx.AsyncClient, query: dict[str, str]) -> None:
    problem = assert_problem(await client.get(URL, params=query), 400, "invalid_request")
    assert problem["errors"][0]["path"] == f"query {next(iter(query))}"


async def test_recent_run_times_and_the_price_of_the_unpriced(stack: Gateway, client: httpx.AsyncClient) -> None:
    job = (await client.post("/api/v1/jobs", json={"model": "sim-instant", "input": {}})).json()
    assert (await ended(client, job["id"]))["status"] == "COMPLETED"
    model = (await client.get(f"{URL}/sim-instant")).json()
    assert 0 < model["run_seconds"]["p50"] <= model["run_seconds"]["p90"] < 60
    assert (model["price"], model["schema"]) == ("0.100000", None)
    other = await stack.tenant()
    await stack.sql("UPDATE tenants SET default_price_micro = 250000 WHERE id = $1", other.id)
    async with httpx.AsyncClient(base_url=stack.url, headers=other.headers, timeout=60) as theirs:
        assert (await theirs.get(f"{URL}/sim-instant")).json()["price"] == "0.250000"


async def test_what_is_not_offered_is_not_shown(stack: Gateway, client: httpx.AsyncClient) -> None:
    await stack.sql(
        "INSERT INTO models (slug, enabled, retired_at) VALUES ('hidden-off', false, NULL), ('hidden-old', true, now())"
    )
    for slug in ("hidden-off", "hidden-old", "never-heard-of", "a%00", "%ED%A0%80", "a b"):
        assert_problem(await client.get(f"{URL}/{slug}"), 404, "model_not_found")
    around = (await client.get(URL, params={"cursor": "hidden", "limit": "2"})).json()["items"]
    assert all(not model["slug"].startswith("hidden") for model in around)
    async with stack.api(UNPRICED_MODELS="refuse") as url:
        assert_problem(await client.get(f"{url}{URL}/sim-instant"), 404, "model_not_found")
        refused = await client.post(f"{url}/v2/sim-instant", json={})
        assert (refused.status_code, refused.json()["code"]) == (404, "model_unpriced")


@pytest.mark.slow
async def test_a_list_of_models_is_all_a_tenant_may_ask_for(
    stack: Gateway, client: httpx.AsyncClient, tenant: TenantKey
) -> None:
    await restrict(stack, tenant, ["sim-instant"])
    assert [model["slug"] for model in (await client.get(URL)).json()["items"]] == ["sim-instant"]
    assert_problem(await client.get(f"{URL}/{SEED_MODEL}"), 404, "model_not_found")
    for slug in (SEED_MODEL, "never-heard-of"):
        refused = await client.post(f"/v2/{slug}", json={})
        assert (refused.status_code, refused.json()["code"]) == (403, "model_not_allowed")
        answer = await client.post("/api/v1/jobs", json={"model": slug, "input": {}})
        assert_problem(answer, 403, "model_not_allowed")
    assert (await client.post("/v2/sim-instant", json={})).status_code == 200
    assert (await client.post("/v2/a b", json={})).status_code == 404, "what can be no model is told so"
    await restrict(stack, tenant, [])
    assert (await client.post("/v2/sim-instant", json={})).status_code == 403
    await restrict(stack, tenant, None)
    assert (await client.post("/v2/sim-instant", json={})).status_code == 200


async def test_who_may_look(stack: Gateway, client: httpx.AsyncClient) -> None:
    async with httpx.AsyncClient(base_url=stack.url, timeout=60) as anyone:
        assert_problem(await anyone.get(URL), 401, "unauthorized")
        assert_problem(await anyone.get(f"{URL}/{SEED_MODEL}"), 401, "unauthorized")
    text = (await client.get(f"{URL}/{SEED_MODEL}")).text
    for ours in ("cost", "above_hold", "disabled"):
        assert ours not in text, "what it costs us is ours to know"
