"""`/healthz` and `/readyz`."""

from http import HTTPStatus
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.core.errors import SchemaBehind, StoreUnavailable, WrongConnection, WrongSchema


def _answer(status: int, body: dict[str, str]) -> Response:
    return Response(orjson.dumps(body), status_code=status, media_type="application/json")


def _unfit(migrations: str, detail: str) -> Response:
    return _answer(503, {"status": "unavailable", "database": "ok", "migrations": migrations, "detail": detail})


async def healthz(_request: Request) -> Response:
    """Answer 200: the process lives."""
    return _answer(200, {"status": "ok"})


async def readyz(request: Request) -> Response:
    """Answer 200 if the database answers in our role, its schema serves this release, and it is not in doubt; without Redis
    it is `degraded`. Answer 503 otherwise, and while the process stops, so that it gets no more requests."""
    state = request.app.state
    if state.stopping.is_set():
        return _answer(503, {"status": "unavailable", "process": "stopping"})
    try:
        async with state.database.snapshot() as session:
            await state.schema.check(session)
            doubt = await state.find_doubt(session)
    except SchemaBehind as error:
        return _unfit("behind", error.detail)
    except WrongSchema as error:
        return _unfit("unfit", error.message)
    except WrongConnection as error:
        return _answer(503, {"status": "unavailable", "database": "misconfigured", "detail": error.message})
    except StoreUnavailable:
        return _answer(503, {"status": "unavailable", "database": "unavailable"})
    if doubt is not None:
        return _answer(
            503, {"status": "unavailable", "database": "restored", "detail": f"{doubt}: run `waystation recover`"}
        )
    redis = "ok" if await state.doorbell.reachable() else "degraded"
    return _answer(200, {"status": "ready", "database": "ok", "migrations": "ok", "redis": redis})


routes = [Route("/healthz", healthz, methods=["GET"]), Route("/readyz", readyz, methods=["GET"])]


def _described(summary: str, *statuses: int) -> dict[str, Any]:
    schema = {"type": "object", "required": ["status"], "properties": {"status": {"type": "string"}}}
    responses = {
        str(status): {"description": HTTPStatus(status).phrase, "content": {"application/json": {"schema": schema}}}
        for status in statuses
    }
    return {"get": {"tags": ["health"], "summary": summary, "security": [], "responses": responses}}


OPENAPI_PATHS = {
    "/healthz": _described("Whether the process is running", 200),
    "/readyz": _described(
        "Whether the process can serve requests: the database answers, its role and schema are the expected ones, and the process is not stopping",
        200,
        503,
    ),
}
