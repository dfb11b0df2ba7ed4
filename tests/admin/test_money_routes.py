"""`/admin/v1`: prices, budgets, credits and exposure; what is refused names its field."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from app.core.credits import parse_credits
from app.core.database.db import Database
from app.core.ids import new_id, show_id
from app.tenants.auth import Keyring
from tests.admin.test_operators import entries
from tests.admin.test_routes import assert_problem, fresh, made
from tests.factories.callers import SECRET

WRONG_AMOUNTS: list[Any] = [5, 0.5, "1e3", "NaN", "0.0000001", " 1", "", True, {}, "+1", "9" * 30]


async def balance(database: Database, tenant: dict[str, Any]) -> dict[str, int]:
    async with database.snapshot() as session:
        row = await session.fetchrow(
            "SELECT granted, posted, held, overdraft FROM balances AS b JOIN tenants AS t ON t.id = b.tenant_id"
            " WHERE t.name = $1",
            tenant["name"],
        )
    assert row is not None
    return dict(row)


async def test_a_tenant_s_money(operator: httpx.AsyncClient) -> None:
    tenant = await made(operator, fresh())
    bare = {"max_price": None, "default_price": None, "daily_credits": None, "monthly_credits": None, "models": None}
    assert {name: tenant[name] for name in bare} == bare
    assert tenant["overdraft"] == "0.000000"
    asked = {
        "max_price": "0.5", "default_price": "0", "daily_credits": "10", "monthly_credits": "100.25", "overdraft": "3",
        "models": ["b", "a", "b"],
    }  # fmt: skip
    path = f"/tenants/{tenant['id']}"
    changed = (await operator.patch(path, json=asked)).json()
    told = {
        "max_price": "0.500000", "default_price": "0.000000", "daily_credits": "10.000000",
        "monthly_credits": "100.250000", "overdraft": "3.000000", "models": ["a", "b"],
    }  # fmt: skip
    assert changed == {**tenant, **told}
    assert (await operator.get(path)).json() == changed
    assert (await operator.patch(path, json={"daily_credits": "20"})).json() == {
        **changed,
        "daily_credits": "20.000000",
    }
    cleared = (await operator.patch(path, json=dict.fromkeys(asked))).json()
    assert cleared == tenant
    assert (await operator.patch(path, json={"models": []})).json()["models"] == []


@pytest.mark.parametrize("field", ["max_price", "default_price", "daily_credits", "monthly_credits", "overdraft"])
async def test_what_is_no_amount_names_its_field(operator: httpx.AsyncClient, field: str) -> None:
    tenant = await made(operator, fresh())
    for wrong in [*WRONG_AMOUNTS, "-1"]:
        answer = await operator.patch(f"/tenants/{tenant['id']}", json={field: wrong})
        problem = assert_problem(answer, 400, "invalid_request", f"$.{field}")
        assert "expected" in problem["detail"]
    assert (await operator.get(f"/tenants/{tenant['id']}")).json() == tenant


async def test_models_that_cannot_be_listed(operator: httpx.AsyncClient) -> None:
    tenant = await made(operator, fresh())
    for wrong, path in (("a", "$.models"), ([1], "$.models[0]"), (["a b"], "$.models"), (["a"] * 1001, "$.models")):
        answer = await operator.patch(f"/tenants/{tenant['id']}", json={"models": wrong})
        assert_problem(answer, 400, "invalid_request", path)


async def test_what_the_gateway_knows_of_a_caller(operator: httpx.AsyncClient, database: Database) -> None:
    tenant = await made(operator, fresh())
    await operator.patch(f"/tenants/{tenant['id']}", json={"max_price": "2", "default_price": "1", "models": ["a"]})
    key = (await operator.post(f"/tenants/{tenant['id']}/keys", json={})).json()["key"]
    principal = await Keyring(database, secrets=[SECRET]).authenticate(x_api_key=key, authorization=None)
    assert (principal.max_price_micro, principal.default_price_micro, principal.models) == (2_000_000, 1_000_000, {"a"})


async def test_a_key_s_own_budgets(operator: httpx.AsyncClient) -> None:
    tenant = await made(operator, fresh())
    key = (await operator.post(f"/tenants/{tenant['id']}/keys", json={"name": "ci"})).json()
    key.pop("key")
    assert (key["daily_credits"], key["monthly_credits"]) == (None, None)
    path = f"/keys/{key['id']}"
    changed = (await operator.patch(path, json={"daily_credits": "1.5", "monthly_credits": "9"})).json()
    assert changed == {**key, "daily_credits": "1.500000", "monthly_credits": "9.000000"}
    expires_at = (datetime.now(UTC) + timedelta(days=1)).replace(microsecond=0).isoformat()
    renamed = (await operator.patch(path, json={"name": "cd", "expires_at": expires_at, "daily_credits": None})).json()
    assert (renamed["name"], renamed["daily_credits"], renamed["monthly_credits"]) == ("cd", None, "9.000000")
    assert datetime.fromisoformat(renamed["expires_at"]) == datetime.fromisoformat(expires_at)
    assert (await operator.get(f"/tenants/{tenant['id']}/keys")).json()["items"] == [renamed]
    assert (await operator.patch(path, json={"expires_at": None})).json()["expires_at"] is None
    for wrong in ("name", "daily_credits", "expires_at"):
        answer = await operator.patch(path, json={wrong: 7})
        assert_problem(answer, 400, "invalid_request", f"$.{wrong}")
    answer = await operator.patch(path, json={"expires_at": "2020-01-01T00:00:00Z"})
    assert_problem(answer, 400, "invalid_request", "$.expires_at")
    for nothing in ("x", show_id("key", new_id())):
        assert_problem(await operator.patch(f"/keys/{nothing}", json={}), 404, "key_not_found")


async def test_a_grant_is_made_once(operator: httpx.AsyncClient, database: Database) -> None:
    tenant = await made(operator, fresh())
    path = f"/tenants/{tenant['name']}/credits"
    body = {"amount": "100.5", "reference": "invoice 4711", "note": "March"}
    answer = await operator.post(path, json=body)
    assert answer.status_code == 201, answer.text
    transfer = answer.json()
    assert (transfer["kind"], transfer["amount"], transfer["reference"], transfer["note"]) == (
        "grant", "100.500000", "invoice 4711", "March",
    )  # fmt: skip
    assert (transfer["tenant_id"], transfer["tenant"]) == (tenant["id"], tenant["name"])
    again = await operator.post(path, json={**body, "amount": "100.500000"})
    assert (again.status_code, again.json()) == (200, transfer)
    assert_problem(await operator.post(path, json={**body, "amount": "100"}), 409, "reference_taken")
    assert (await balance(database, tenant))["granted"] == 100_500_000
    assert [entry["detail"]["new"] for entry in await entries(operator, tenant=tenant["name"], action="credits.grant")] == [
        False, True,
    ]  # fmt: skip


async def test_a_grant_may_expire(operator: httpx.AsyncClient) -> None:
    tenant = await made(operator, fresh())
    path = f"/tenants/{tenant['id']}/credits"
    expires_at = (datetime.now(UTC) + timedelta(seconds=60)).isoformat()
    body = {"amount": "1", "reference": "r", "expires_at": expires_at}
    first = await operator.post(path, json=body)
    assert first.status_code == 201, first.text
    assert first.json()["expires_at"].endswith("Z")
    assert (await operator.post(path, json=body)).status_code == 200
    past = {"amount": "1", "reference": "past", "expires_at": "2020-01-01T00:00:00Z"}
    assert_problem(await operator.post(path, json=past), 400, "invalid_request", "$.expires_at")
    assert len(await entries(operator, tenant=tenant["name"], action="credits.grant")) == 2


async def test_a_grant_said_again_keeps_its_first_expiry(operator: httpx.AsyncClient, database: Database) -> None:
    tenant = await made(operator, fresh())
    path = f"/tenants/{tenant['id']}/credits"
    body = {"amount": "5", "reference": "in a year"}

    def in_a_year() -> dict[str, str]:
        return body | {"expires_at": (datetime.now(UTC) + timedelta(days=365)).isoformat()}

    first = await operator.post(path, json=in_a_year())
    assert first.status_code == 201, first.text
    for again in (in_a_year(), body, body | {"expires_at": "2020-01-01T00:00:00Z"}):
        answer = await operator.post(path, json=again)
        assert (answer.status_code, answer.json()) == (200, first.json())
    answer = await operator.post(path, json=in_a_year() | {"amount": "6"})
    problem = assert_problem(answer, 409, "reference_taken")
    assert "5.000000" in problem["detail"]
    assert (await balance(database, tenant))["granted"] == 5_000_000
    at_once = [in_a_year() | {"reference": "at once"} for _ in range(4)]
    answers = await asyncio.gather(*(operator.post(path, json=one) for one in at_once))
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 201]
    assert len({answer.json()["expires_at"] for answer in answers}) == 1


async def test_two_grants_at_once_are_one(operator: httpx.AsyncClient, database: Database) -> None:
    tenant = await made(operator, fresh())
    body = {"amount": "7", "reference": "twice"}
    answers = await asyncio.gather(*(operator.post(f"/tenants/{tenant['id']}/credits", json=body) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 201]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert (await balance(database, tenant))["granted"] == 7_000_000
    others = [{"amount": str(amount), "reference": "differing"} for amount in (1, 2)]
    both = await asyncio.gather(*(operator.post(f"/tenants/{tenant['id']}/credits", json=body) for body in others))
    assert sorted(answer.status_code for answer in both) == [201, 409]


@pytest.mark.parametrize(
    ("body", "path"),
    [
        *(({"amount": wrong, "reference": "r"}, "$.amount") for wrong in [*WRONG_AMOUNTS, "-1", "0", None]),
        ({"amount": "1"}, "$.reference"),
        ({"reference": "r"}, "$.amount"),
        ({"amount": "1", "reference": ""}, "$.reference"),
        ({"amount": "1", "reference": "\x00"}, "$.reference"),
        ({"amount": "1", "reference": "x" * 201}, "$.reference"),
        ({"amount": "1", "reference": 7}, "$.reference"),
        ({"amount": "1", "reference": "r", "note": "\n"}, "$.note"),
        ({"amount": "1", "reference": "r", "expires_at": "soon"}, "$.expires_at"),
        ({"amount": "1", "reference": "r", "currency": "EUR"}, "$.currency"),
    ],
)
async def test_grants_that_cannot_be(
    operator: httpx.AsyncClient, database: Database, body: dict[str, object], path: str
) -> None:
    tenant = await made(operator, fresh())
    answer = await operator.post(f"/tenants/{tenant['id']}/credits", json=body)
    assert_problem(answer, 400, "invalid_request", path)
    assert (await balance(database, tenant))["granted"] == 0


async def test_an_adjustment_needs_a_reason_and_enough(operator: httpx.AsyncClient, database: Database) -> None:
    tenant = await made(operator, fresh())
    path = f"/tenants/{tenant['id']}/adjustments"
    for amount, note in (("5", "a present"), ("-2.5", "a slip"), ("-2.5", "a slip")):
        answer = await operator.post(path, json={"amount": amount, "note": note})
        assert answer.status_code == 201, answer.text
        assert (answer.json()["kind"], parse_credits(answer.json()["amount"], signed=True)) == (
            "adjust", parse_credits(amount, signed=True),
        )  # fmt: skip
    assert_problem(await operator.post(path, json={"amount": "-0.000001", "note": "n"}), 409, "overdraft_exceeded")
    assert (await balance(database, tenant))["granted"] == 0
    await operator.patch(f"/tenants/{tenant['id']}", json={"overdraft": "1"})
    assert (await operator.post(path, json={"amount": "-1", "note": "n"})).status_code == 201
    answer = await operator.patch(f"/tenants/{tenant['id']}", json={"overdraft": "0.5"})
    assert_problem(answer, 409, "overdraft_exceeded")
    for body, field in (
        ({"amount": "1"}, "$.note"), ({"amount": "1", "note": " "}, "$.note"), ({"note": "n"}, "$.amount"),
        ({"amount": "0", "note": "n"}, "$.amount"), ({"amount": 1, "note": "n"}, "$.amount"),
        ({"amount": "--1", "note": "n"}, "$.amount"),
    ):  # fmt: skip
        assert_problem(await operator.post(path, json=body), 400, "invalid_request", field)
    for verb in ("credits", "adjustments"):
        body = {"amount": "1", "reference": "r"} if verb == "credits" else {"amount": "1", "note": "n"}
        assert_problem(await operator.post(f"/tenants/nobody/{verb}", json=body), 404, "tenant_not_found")


async def test_exposure_is_listed(operator: httpx.AsyncClient, database: Database) -> None:
    tenant = await made(operator, fresh())
    job_ids = [new_id() for _ in range(3)]
    async with database.transaction() as session:
        await session.execute(
            "INSERT INTO exposures (tenant_id, job_id, reason, amount)"
            " SELECT (SELECT id FROM tenants WHERE name = $1), job_id, reason, 89300"
            " FROM unnest($2::uuid[], $3::text[]) AS t (job_id, reason)",
            tenant["name"],
            job_ids,
            ["failed", "lost", "lost"],
        )
    mine = {"tenant": tenant["name"]}
    found = (await operator.get("/exposure", params=mine)).json()["items"]
    assert [each["job_id"] for each in found] == [show_id("job", job_id) for job_id in reversed(job_ids)]
    assert (found[0]["amount"], found[0]["reason"], found[0]["tenant_id"]) == ("0.089300", "lost", tenant["id"])
    page = (await operator.get("/exposure", params={**mine, "limit": 2})).json()
    rest = (await operator.get("/exposure", params={**mine, "limit": 2, "cursor": page["next_cursor"]})).json()
    assert page["items"] + rest["items"] == found
    assert (await operator.get("/exposure", params={**mine, "reason": "failed"})).json()["items"] == [found[2]]
    assert (await operator.get("/exposure", params={**mine, "since": "2100-01-01T00:00:00Z"})).json()["items"] == []
    for query, path in (({"reason": "x"}, "query reason"), ({"cursor": "-1"}, "query cursor"), ({"x": 1}, "query x")):
        assert_problem(await operator.get("/exposure", params=query), 400, "invalid_request", path)
    assert_problem(await operator.get("/exposure", params={"tenant": uuid4().hex}), 404, "tenant_not_found")


async def test_a_model_is_put(operator: httpx.AsyncClient) -> None:
    slug = f"m-{uuid4().hex}"
    assert_problem(await operator.get(f"/models/{slug}"), 404, "model_not_found")
    schema = {"type": "object", "required": ["a"]}
    body = {"price": "0.0893", "price_rule": "fixed", "markup": "1.25", "schema": schema, "enabled": False}
    answer = await operator.put(f"/models/{slug}", json=body)
    assert answer.status_code == 200, answer.text
    model = answer.json()
    assert {name: model[name] for name in body} == {**body, "price": "0.089300", "markup": "1.250000"}
    assert (model["slug"], model["disabled_reason"], model["mean_cost"]) == (slug, "an operator", None)
    assert (await operator.get(f"/models/{slug}")).json() == model
    part = (await operator.put(f"/models/{slug}", json={"enabled": True})).json()
    assert part == {**model, "enabled": True, "disabled_reason": None, "updated_at": part["updated_at"]}
    bare = (await operator.put(f"/models/{slug}", json={"price": None, "schema": None})).json()
    assert (bare["price"], bare["schema"], bare["price_rule"]) == (None, None, "fixed")
    for wrong in ("requests", "-a", "a%00", "a" * 129):
        assert_problem(await operator.put(f"/models/{wrong}", json={}), 404, "model_not_found")
        assert_problem(await operator.get(f"/models/{wrong}"), 404, "model_not_found")
    for body, path in (
        *(({"price": wrong}, "$.price") for wrong in [*WRONG_AMOUNTS, "-1"]),
        *(({"markup": wrong}, "$.markup") for wrong in (None, "x", -1, 1001, [], True)),
        *(({"schema": wrong}, "$.schema") for wrong in ([], "x", {"type": "thing"}, {"$ref": "http://127.0.0.1/"})),
        ({"price_rule": "free"}, "$.price_rule"), ({"price_rule": None}, "$.price_rule"),
        ({"enabled": "yes"}, "$.enabled"), ({"enabled": None}, "$.enabled"), ({"cost": "1"}, "$.cost"),
    ):  # fmt: skip
        assert_problem(await operator.put(f"/models/{slug}", json=body), 400, "invalid_request", path)
    assert (await operator.get(f"/models/{slug}")).json() == bare


async def test_the_catalogue_is_pages(operator: httpx.AsyncClient) -> None:
    first = (await operator.get("/models", params={"limit": 2})).json()
    rest = (await operator.get("/models", params={"limit": 2, "cursor": first["next_cursor"]})).json()
    slugs = [model["slug"] for model in first["items"] + rest["items"]]
    assert len(set(slugs)) == 4
    assert slugs == sorted(slugs)
    assert "schema" in first["items"][0]
    for query, path in (({"cursor": "a b"}, "query cursor"), ({"limit": 0}, "query limit")):
        assert_problem(await operator.get("/models", params=query), 400, "invalid_request", path)
