"""Describe the upstream-shaped surface in OpenAPI. Its routes are plain Starlette routes, which FastAPI does not describe."""

from http import HTTPStatus
from typing import Any

from app.core.errors import Refusal
from app.segmind.schemas import status_of
from app.web.problems import LIMIT_HEADERS

Json = dict[str, Any]

_STRING: Json = {"type": "string"}
_URL: Json = {"type": "string", "format": "uri"}
_METRICS: Json = {"type": "object", "description": "as the upstream reports them; `remaining_credits` are the tenant's"}

SCHEMAS: Json = {
    "SegmindError": {
        "type": "object",
        "description": "`error` for people, `code` for programs.",
        "required": ["error", "code"],
        "properties": {
            "error": _STRING,
            "code": _STRING,
            "errors": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["path", "message"],
                    "properties": {"path": _STRING, "message": _STRING},
                },
            },
        },
    },
    "SegmindAccepted": {
        "type": "object",
        "required": ["request_id", "status", "poll_url", "status_url", "response_url"],
        "properties": {
            "request_id": _STRING,
            "status": {"const": "QUEUED"},
            "poll_url": _URL,
            "status_url": _URL,
            "response_url": _URL,
        },
    },
    "SegmindStatus": {
        "type": "object",
        "required": ["status", "request_id", "metrics"],
        "properties": {
            "status": {"enum": ["QUEUED", "PROCESSING", "COMPLETED"]},
            "request_id": _STRING,
            "status_url": _URL,
            "response_url": _URL,
            "metrics": _METRICS,
        },
    },
    "SegmindFailed": {
        "type": "object",
        "required": ["status", "request_id", "error", "code", "metrics"],
        "properties": {
            "status": {"const": "FAILED"},
            "request_id": _STRING,
            "error": {"description": "the upstream's error, unchanged; usually a string"},
            "code": _STRING,
            "metrics": _METRICS,
        },
    },
    "SegmindCredits": {
        "type": "object",
        "required": ["credits"],
        "properties": {"credits": {"type": "number", "description": "credits that the tenant has available"}},
    },
    "SegmindResult": {
        "type": "object",
        "description": "The upstream's body with unchanged values; while the job runs, its status.",
        "required": ["request_id", "status"],
        "properties": {"request_id": _STRING, "status": {"enum": ["QUEUED", "PROCESSING", "COMPLETED"]}},
    },
}

_MODEL: Json = {
    "name": "model",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]*$", "maxLength": 128},
}
_REQUEST_ID: Json = {"name": "request_id", "in": "path", "required": True, "schema": _STRING}
_BODY: Json = {
    "required": True,
    "content": {
        "application/json": {
            "schema": {"type": "object", "description": "the model's parameters, as members of one object"}
        }
    },
}


def _header(name: str, description: str, **schema: Any) -> Json:
    return {"name": name, "in": "header", "description": description, "schema": {"type": "string", **schema}}


_OPTIONS = [
    _header("Idempotency-Key", "a submit with the same key can be repeated and makes one job", maxLength=255),
    _header("X-Webhook-Url", "receives the job's events, in addition to the tenant's endpoints"),
    _header("X-Webhook-Events", "the events that X-Webhook-Url receives, such as `job.completed,job.failed`"),
    _header("X-Metadata", "a JSON object, stored and returned with the job"),
    _header("X-Priority", "0 to 9, by default 5; a higher priority is sent first"),
    _header("X-Deadline-Seconds", "a job that is not sent within this number of seconds fails and is not charged"),
]


def _json(description: str, schema: str) -> Json:
    return {
        "description": description,
        "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}},
    }


def _refusals(*refusals: type[Refusal]) -> Json:
    documents: Json = {}
    for status in sorted({status_of(refusal) for refusal in refusals}):
        codes = sorted({refusal.code for refusal in refusals if status_of(refusal) == status})
        documents[str(status)] = _json("`code`: " + ", ".join(f"`{code}`" for code in codes), "SegmindError")
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            documents[str(status)]["headers"] = LIMIT_HEADERS
    return documents


def paths(
    *,
    submit: tuple[type[Refusal], ...],
    submit_and_wait: tuple[type[Refusal], ...],
    status: tuple[type[Refusal], ...],
    result: tuple[type[Refusal], ...],
    credits: tuple[type[Refusal], ...],
) -> Json:
    """The path items. The arguments are the refusals of each route."""
    failed = _json("The job FAILED or was canceled", "SegmindFailed")
    refused = _refusals(*submit)
    reused = refused["422"]
    read: Json = {"tags": ["segmind"], "parameters": [_REQUEST_ID]}
    of_result: Json = {
        **read,
        "summary": "The result of a request",
        "responses": {"200": _json("The upstream's body", "SegmindResult"), "422": failed, **_refusals(*result)},
    }
    of_status: Json = {
        **read,
        "summary": "The status of a request",
        "responses": {"200": _json("The status", "SegmindStatus"), "422": failed, **_refusals(*status)},
    }
    ask = {"tags": ["segmind"], "requestBody": _BODY}
    media = {"description": "The media file, or JSON", "content": {"*/*": {}}}
    either = {
        "description": f"{failed['description']}; or {reused['description']}",
        "content": {
            "application/json": {
                "schema": {"anyOf": [{"$ref": f"#/components/schemas/Segmind{name}"} for name in ("Failed", "Error")]}
            }
        },
    }
    return {
        "/v2/{model}": {
            "post": {
                **ask,
                "summary": "Submit a request",
                "operationId": "segmind_submit",
                "parameters": [_MODEL, *_OPTIONS],
                "responses": {"200": _json("Stored", "SegmindAccepted"), **refused},
            }
        },
        "/v1/{model}": {
            "post": {
                **ask,
                "summary": "Submit a request and wait for its result",
                "operationId": "segmind_submit_and_wait",
                "parameters": [
                    _MODEL,
                    *_OPTIONS,
                    _header(
                        "Prefer", "`wait=N`, in seconds, at most 300, by default 25; `Preference-Applied` returns N"
                    ),
                ],
                "responses": {"200": media, **_refusals(*submit_and_wait), "422": either},
            }
        },
        "/v1/get-user-credits": {
            "get": {
                "tags": ["segmind"],
                "summary": "The tenant's available credits",
                "operationId": "segmind_credits",
                "responses": {"200": _json("Credits", "SegmindCredits"), **_refusals(*credits)},
            }
        },
        "/v2/requests/{request_id}/status": {"get": {**of_status, "operationId": "segmind_status"}},
        "/v2/requests/{request_id}": {"get": {**of_result, "operationId": "segmind_result"}},
        "/v1/requests/{request_id}": {"get": {**of_result, "operationId": "segmind_result_v1"}},
    }
