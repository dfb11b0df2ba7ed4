"""`waystation operator`, `credits`, `model`, `tenant set`: as people meet them, and in the audit log."""

import asyncio
import getpass
import json
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI

from app.core.database.db import Database
from app.tenants.keys import OPERATOR_MARK, parse_key
from tests.admin.test_operators import as_operator
from tests.command import run
from tests.factories.callers import SECRET
from tests.test_cli import Fails, fails_here, shown

__all__ = ["fails_here"]

HERE = f"command line: {getpass.getuser()}"


@pytest.fixture
def settings(database_url: str) -> dict[str, str]:
    return {"DATABASE_URL": database_url, "SECRET_KEY": SECRET.decode()}


async def actions(database: Database, target: str) -> list[tuple[str, str]]:
    """(operator, action) of what was done to it, in order."""
    async with database.snapshot() as session:
        rows = await session.fetch("SELECT operator, action FROM ops.audit WHERE target = $1 ORDER BY audit_id", target)
    return [(row["operator"], row["action"]) for row in rows]


async def test_operators(app: FastAPI, database: Database, settings: dict[str, str]) -> None:
    name = f"op-{uuid4().hex[:8]}"
    issued = await asyncio.to_thread(shown, "operator", "create", name, "--role", "viewer", **settings)
    assert parse_key(issued["key"], OPERATOR_MARK) is not None
    assert (issued["name"], issued["role"], issued["revoked_at"]) == (name, "viewer", None)
    async with as_operator(app, issued["key"]) as client:
        assert (await client.get("/tenants")).status_code == 200
        listing = await asyncio.to_thread(run, "operator", "list", **settings)
        [row] = [row for row in listing.stdout.splitlines() if name in row]
        assert issued["prefix"] in row
        assert issued["key"] not in listing.stdout
        revoked = await asyncio.to_thread(run, "operator", "revoke", name, **settings)
        assert revoked.stdout == f"operator {name} is revoked\n"
        assert (await client.get("/tenants")).status_code == 401
    assert await actions(database, issued["id"]) == [(HERE, "operator.create"), (HERE, "operator.revoke")]


async def test_credits(operator: httpx.AsyncClient, database: Database, settings: dict[str, str]) -> None:
    name = f"t{uuid4().hex}"
    tenant = await asyncio.to_thread(shown, "tenant", "create", name, **settings)
    grant = ("credits", "grant", name, "100.5", "--reference", "r-1", "--note", "March")
    done = await asyncio.to_thread(run, *grant, **settings)
    assert done.stdout == f"100.500000 credits granted to tenant {name}, reference r-1\n"
    again = await asyncio.to_thread(shown, *grant, **settings)
    assert (again["new"], again["amount"], again["note"]) == (False, "100.500000", "March")
    done = await asyncio.to_thread(run, "credits", "adjust", name, "-0.5", "--note", "a slip", **settings)
    assert done.stdout == f"balance of tenant {name} adjusted by -0.500000 credits\n"
    expiring = ("credits", "grant", name, "1", "--reference", "r-2", "--expires")
    first = await asyncio.to_thread(shown, *expiring, "30d", **settings)
    assert first["expires_at"]
    again = await asyncio.to_thread(shown, *expiring, "30d", **settings)
    assert again == {**first, "new": False}, "thirty days from now was said twice, a moment apart"
    other = await asyncio.to_thread(shown, *expiring, "60d", **settings)
    assert other == again, "the first expiry stands, and is shown"
    said = await asyncio.to_thread(run, *grant, "--expires", "30d", **settings)
    assert said.stdout.endswith("reference r-1; they do not expire: the first grant had no expiry\n")
    settled = await asyncio.to_thread(
        shown,
        "tenant",
        "set",
        name,
        "max_price=0.5",
        "overdraft=2",
        "daily_credits=5",
        "models=a,b",
        "--force",
        **settings,
    )
    assert (settled["max_price"], settled["overdraft"], settled["daily_credits"], settled["models"]) == (
        "0.500000", "2.000000", "5.000000", ["a", "b"],
    )  # fmt: skip
    assert (await operator.get(f"/tenants/{name}")).json() == settled
    assert await actions(database, tenant["id"]) == [
        (HERE, action)
        for action in (
            "tenant.create",
            "credits.grant",
            "credits.grant",
            "credits.adjust",
            *["credits.grant"] * 4,
            "tenant.set",
        )
    ]


async def test_models(
    operator: httpx.AsyncClient, database: Database, settings: dict[str, str], tmp_path: Path
) -> None:
    slug = f"m-{uuid4().hex[:8]}"
    schema = tmp_path / "schema.json"
    schema.write_text('{"type": "object"}', encoding="utf-8-sig")  # as PowerShell and Notepad write it
    done = await asyncio.to_thread(
        run, "model", "set", slug, "--price", "0.2", "--rule", "fixed", "--markup", "1.5", "--disabled", "--schema",
        str(schema), **settings,
    )  # fmt: skip
    assert done.stdout == f"model {slug}, new in the catalogue: 0.200000 credits, fixed, mark-up 1.500000, disabled\n"
    told = await asyncio.to_thread(shown, "model", "set", slug, "--enabled", "--price", "null", **settings)
    assert (told["price"], told["enabled"], told["schema"]) == (None, True, {"type": "object"})
    assert (await operator.get(f"/models/{slug}")).json() == told

    file = tmp_path / "prices.csv"
    file.write_text(f"Model,Mean cost USD,colour\n{slug},0.1,blue\n{slug}-2,0.2,red\n", encoding="utf-8-sig")
    done = await asyncio.to_thread(run, "model", "import", str(file), **settings)
    assert done.stdout == "2 models imported, 1 of them new; unknown columns, ignored: colour\n"
    await asyncio.to_thread(shown, "model", "set", slug, "--price", "5", **settings)
    file.write_text(f"slug,cost\n{slug},0.4\n")
    assert await asyncio.to_thread(shown, "model", "import", str(file), **settings) == {
        "new": 0, "known": 1, "kept": 1, "ignored_columns": [],
    }  # fmt: skip
    await asyncio.to_thread(shown, "model", "import", str(file), "--overwrite", **settings)
    listed = await asyncio.to_thread(shown, "model", "list", **settings)
    prices = {model["slug"]: model["price"] for model in listed}
    assert (prices[slug], prices[f"{slug}-2"], prices["motionctrl-svd"]) == ("0.600000", "0.300000", "0.133923")
    assert slug in (await asyncio.to_thread(run, "model", "list", **settings)).stdout
    assert await actions(database, slug) == [(HERE, "model.set")] * 3
    assert await actions(database, "prices.csv") == [(HERE, "model.import")] * 3


def test_slips_are_told_in_one_line(settings: dict[str, str], fails_here: Fails, tmp_path: Path) -> None:
    file = tmp_path / "x.csv"
    file.write_text("slug,cost\nok,1\na b,x\n")
    schema = tmp_path / "x.json"
    schema.write_text(json.dumps({"type": "thing"}))
    name = shown("tenant", "create", f"t{uuid4().hex}", **settings)["name"]
    for args, said in (
        (("model", "import", str(file)), "nothing imported: line 3, column slug: expected a slug"),
        (("model", "import", str(file)), "line 3, column cost: expected credits"),
        (("model", "set", "a b"), "a model's slug has letters"),
        (("model", "set", "m", "--price", "1e3"), "price: expected credits"),
        (("model", "set", "m", "--rule", "free"), "rule: expected metered or fixed"),
        (("model", "set", "m", "--markup", "-1"), "markup: expected a factor"),
        (("model", "set", "m", "--schema", str(schema)), "schema: not a JSON Schema"),
        (("model", "set", "m", "--schema", str(file)), "schema: "),
        (("credits", "grant", "nobody", "1", "--reference", "r"), "no such tenant"),
        (("credits", "grant", name, "1.0000001", "--reference", "r"), "amount: expected credits"),
        (("credits", "grant", name, "0", "--reference", "r"), "amount: expected"),
        (("credits", "grant", name, "1", "--reference", ""), "reference: is required"),
        (("credits", "grant", name, "1", "--reference", "r", "--expires", "soon"), "expires_at: expected"),
        (("credits", "adjust", name, "-1", "--note", "n"), "below the limit of its overdraft"),
        (("credits", "adjust", name, "1", "--note", " "), "note: is required"),
        (("operator", "create", "on-call", "--role", "root"), "role: expected admin or viewer"),
        (("operator", "create", "a b", "--role", "admin"), "name: expected"),
        (("operator", "revoke", "nobody"), "no such operator"),
        (("tenant", "set", name, "max_price=-1"), "max_price: expected credits"),
    ):
        assert said in fails_here(*args, **settings), args
    assert not [model for model in shown("model", "list", **settings) if model["slug"] in ("ok", "m")]


def test_the_same_reference_with_another_amount_is_an_error(settings: dict[str, str], fails_here: Fails) -> None:
    name = shown("tenant", "create", f"t{uuid4().hex}", **settings)["name"]
    shown("credits", "grant", name, "1", "--reference", "r", **settings)
    line = fails_here("credits", "grant", name, "2", "--reference", "r", **settings)
    assert "a grant with this reference already exists" in line
