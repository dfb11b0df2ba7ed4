"""The OpenAPI document: valid, whole, and true of what is answered."""

import asyncio
import re
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from starlette.routing import Route

from app.core.config.settings import load_settings
from app.main import create_app
from tests.gateway import Gateway, TenantKey

METHODS = ("get", "post", "put", "patch", "delete")
UNDESCRIBED = {"/openapi.json", "/docs", "/docs/docs.js", "/docs/swagger-ui-bundle.js", "/docs/swagger-ui.css"}


@pytest.fixture(scope="session")
async def document(stack: Gateway) -> dict[str, Any]:
    async with httpx.AsyncClient(timeout=60) as client:
        answer = await client.get(f"{stack.url}/openapi.json")
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, item[method]) for path, item in document["paths"].items() for method in METHODS if method in item
    ]


def test_every_route_is_described(stack: Gateway, document: dict[str, Any]) -> None:
    environment = {name.removeprefix("WAYSTATION_").lower(): value for name, value in stack.settings().items()}
    app = create_app(load_settings(**environment))
    routes: set[tuple[str, str]] = set()
    described = {(path, method.upper()) for path, method, _ in operations(document)}

    def walk(found: Any) -> None:
        for route in found:
            if isinstance(route, Route) and route.path not in UNDESCRIBED:
                routes.update(
                    (re.sub(":path|:slug", "", route.path), method)
                    for method in route.methods or ()
                    if method != "HEAD"
                )
            elif hasattr(route, "original_router"):
                walk(route.original_router.routes)

    walk(app.routes)
    assert {
        ("/v2/{model}", "POST"),
        ("/healthz", "GET"),
        ("/api/v1/jobs", "POST"),
        ("/admin/v1/tenants", "GET"),
    } <= routes
    assert routes - described == set()


def test_every_operation_says_how_it_may_refuse(document: dict[str, Any]) -> None:
    for path, method, operation in operations(document):
        statuses = set(operation["responses"])
        name = f"{method} {path}"
        if path in ("/healthz", "/readyz"):
            continue
        assert {"401", "503"} <= statuses, name
        assert operation["security"], name
        if path.startswith(("/api/", "/v1", "/v2")) and path != "/api/v1/limits":  # any key may ask for those
            assert "403" in statuses, name
        if "{" in path:
            assert "404" in statuses, name
        if method in ("post", "patch") and "requestBody" in operation and not path.startswith("/admin"):
            assert {"400", "408", "413", "415", "429"} <= statuses, name
            assert "`parse_budget`" in operation["responses"]["429"]["description"], name
            assert "`overloaded`" in operation["responses"]["503"]["description"], name
        if method == "post" and (path == "/api/v1/jobs" or path.startswith(("/v1/", "/v2/"))):
            assert {"404", "410", "422"} <= statuses, name
            assert {"402", "406"} & statuses == {"402" if path.startswith("/api/") else "406"}, name
        if "429" in statuses:
            assert set(operation["responses"]["429"]["headers"]) == {"Retry-After", "RateLimit", "RateLimit-Policy"}, (
                name
            )
        wanted = "application/problem+json" if path.startswith(("/api/", "/admin/")) else "application/json"
        for status, response in operation["responses"].items():
            if status[0] in "45":
                assert set(response["content"]) == {wanted}, (name, status)


def test_the_document_is_valid(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    assert [
        f"{'/'.join(map(str, error.absolute_path))}: {error.message}"
        for error in OpenAPIV31SpecValidator(document).iter_errors()
    ] == []
    for _, _, operation in operations(document):
        for scheme in {name for one in operation["security"] for name in one}:
            assert scheme in document["components"]["securitySchemes"]


def test_references_lead_somewhere(document: dict[str, Any]) -> None:
    def walk(value: Any) -> None:
        if isinstance(value, dict):
            if "$ref" in value:
                target: Any = document
                for part in value["$ref"].removeprefix("#/").split("/"):
                    target = target[part]
                assert target
            for one in value.values():
                walk(one)
        elif isinstance(value, list):
            for one in value:
                walk(one)

    walk(document)
    ids = [operation["operationId"] for _, _, operation in operations(document) if "operationId" in operation]
    assert len(ids) == len(set(ids))


@pytest.mark.slow
async def test_answers_are_as_described(stack: Gateway, tenant: TenantKey, tmp_path: Path) -> None:
    """Schemathesis over the socket; what it sends is in bounds and out of them."""
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).with_name("schemathesis")),
        "run",
        f"{stack.url}/openapi.json",
        f"--header=x-api-key: {tenant.key}",
        "--exclude-path-regex=^/(admin|v1/.model)",
        "--checks=not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
        "--max-examples=40",
        "--phases=examples,coverage,fuzzing",
        "--generation-deterministic",
        "--no-color",
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(580):
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()[-6000:]
