"""The OpenAPI document of all surfaces."""

from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from app.segmind.openapi import SCHEMAS as segmind_schemas
from app.segmind.routes import OPENAPI_PATHS as segmind_paths
from app.web.pages.health import OPENAPI_PATHS as health_paths

VERSION = version("waystation")


def openapi_document(app: FastAPI) -> dict[str, Any]:
    """Return the document, made once."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=VERSION, routes=app.routes)
        components = document["components"]
        components["schemas"] |= segmind_schemas
        components["securitySchemes"] |= {
            "api_key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
            "bearer": {"type": "http", "scheme": "bearer", "description": "the same key"},
        }
        document["paths"] |= segmind_paths
        for path, item in document["paths"].items():
            for operation in item.values():
                if not path.startswith("/admin/"):
                    operation["security"] = [{"api_key": []}, {"bearer": []}]
        document["paths"] |= health_paths
        app.openapi_schema = document
    return app.openapi_schema
