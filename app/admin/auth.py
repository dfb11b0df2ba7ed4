"""Who may use the operators' surface: whoever holds ADMIN_KEY."""

import hmac
from collections.abc import Awaitable, Callable
from hashlib import sha256

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import SecretStr

from app.core.errors import Unauthorized

NOT_CONFIGURED = "the operators' surface is closed: no WAYSTATION_ADMIN_KEY is set"
MISSING = "no operator's key: send it as `Authorization: Bearer`"
REFUSED = "this is not an operator's key"


def require_operator(admin_key: SecretStr | None, authorization: str | None) -> None:
    """Raises Unauthorized unless the header carries the operators' key."""
    if admin_key is None or not admin_key.get_secret_value():
        raise Unauthorized(NOT_CONFIGURED)
    scheme, _, presented = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not presented.strip():
        raise Unauthorized(MISSING)
    # hashed first, so that the time the comparison takes tells not even the key's length
    expected = sha256(admin_key.get_secret_value().encode()).digest()
    if not hmac.compare_digest(sha256(presented.strip().encode()).digest(), expected):
        raise Unauthorized(REFUSED)


class OperatorRoute(APIRoute):
    """A route that knows its caller before it reads a byte of the body, which a dependency would only do after."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        """The route's handler behind the check."""
        handle = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            require_operator(request.app.state.settings.admin_key, request.headers.get("authorization"))
            return await handle(request)

        return guarded
