"""Refuse unknown query parameters. Otherwise a misspelt filter would give an unfiltered list."""

from collections.abc import Awaitable, Callable, Iterator
from typing import Annotated, Any, get_origin

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import BaseModel, BeforeValidator, WithJsonSchema

from app.core.errors import Problem, malformed_at
from app.core.near import did_you_mean
from app.web.paging import LIMIT_MAX
from app.web.requests import problem, whole_number

NAME_MAX = 100
FAULTS_MAX = 20


def _page_limit(value: object) -> int:
    limit = whole_number(value) if isinstance(value, str) else value
    if not isinstance(limit, int) or not 1 <= limit <= LIMIT_MAX:
        raise ValueError(f"expected a whole number from 1 to {LIMIT_MAX}")
    return limit


Limit = Annotated[
    int, BeforeValidator(_page_limit), WithJsonSchema({"type": "integer", "minimum": 1, "maximum": LIMIT_MAX})
]
"""The query parameter for the most items of a page."""


def _fields(dependant: Dependant) -> Iterator[tuple[str, Any]]:
    """Yield the name and type of each query parameter, also those in a model and those of a dependency."""
    for field in dependant.query_params:
        type_ = field.field_info.annotation
        if isinstance(type_, type) and issubclass(type_, BaseModel):
            yield from ((item.alias or name, item.annotation) for name, item in type_.model_fields.items())
        else:
            yield field.alias, type_
    for other in dependant.dependencies:
        yield from _fields(other)


class Declared:
    """The query parameters of a route, from its function's signature and from its `openapi_extra`.

    A parameter `metadata.{key}` stands for every name that begins with `metadata.`.
    """

    def __init__(self, route: APIRoute) -> None:
        fields = dict(_fields(route.dependant))
        described = (route.openapi_extra or {}).get("parameters", ())
        extra = [parameter["name"] for parameter in described if parameter["in"] == "query"]
        self.names = frozenset([*fields, *(name for name in extra if "{" not in name)])
        self.repeated = frozenset(name for name, type_ in fields.items() if get_origin(type_) is list)
        self.prefixes = tuple(name.partition("{")[0] for name in extra if "{" in name)

    def find_fault(self, name: str, times: int) -> Problem | None:
        """Return what is wrong with a parameter that was sent `times` times, or None."""
        where = f"query {name[:NAME_MAX]}"
        if name in self.names or any(name.startswith(prefix) for prefix in self.prefixes):
            several = times > 1 and name not in self.repeated
            return problem(where, f"expected once, found {times} times") if several else None
        return problem(where, f"unknown parameter{self._meant(name)}")

    def _meant(self, name: str) -> str:
        shown = [*sorted(self.names), *(f"{prefix}NAME" for prefix in self.prefixes)]
        for prefix in self.prefixes:
            if name.startswith(prefix.rstrip(".")):
                return f"; did you mean {prefix}NAME?"
        return (
            did_you_mean(name, shown) or f"; expected one of {', '.join(shown)}"
            if shown
            else "; this route has no query parameters"
        )


def check_query(request: Request, declared: Declared | None = None) -> None:
    """Raise Malformed that names the unknown parameters and those sent more than once, at most FAULTS_MAX."""
    if not request.scope["query_string"]:
        return
    declared = declared or Declared(request.scope["route"])
    times: dict[str, int] = {}
    for name, _ in request.query_params.multi_items():
        times[name] = times.get(name, 0) + 1
    faults: list[Problem] = []
    for name, number in times.items():
        fault = declared.find_fault(name, number)
        if fault is not None:
            faults.append(fault)
        if len(faults) == FAULTS_MAX:
            break
    if faults:
        raise malformed_at(*faults)


class CheckedRoute(APIRoute):
    """A route that checks the query first.

    A route that must record its refusals is a plain APIRoute, and calls `check_query` itself.
    """

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        """Return the route's handler, with the check before it."""
        handle: Any = super().get_route_handler()
        declared = Declared(self)

        async def checked(request: Request) -> Response:
            check_query(request, declared)
            response: Response = await handle(request)
            return response

        return checked
