"""Authenticate callers of the operators' API: ADMIN_KEY, or the key of an operator."""

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Annotated

from fastapi import Depends, Request, Response
from pydantic import SecretStr

from app.admin.models import Role
from app.admin.queries import find_known_operator
from app.core.errors import Forbidden, Refusal, Unauthorized
from app.core.logs.log import get_logger
from app.limits.buckets import Standing, seconds_up
from app.limits.rate_headers import rate_headers
from app.limits.strangers import LOGINS, Strangers
from app.tenants.keys import OPERATOR_MARK, hash_key, parse_key
from app.web.bodies import Bodies
from app.web.parse_budget import Allowance
from app.web.query import CheckedRoute
from app.web.requests import check_media_type

log = get_logger(__name__)

NOT_CONFIGURED = "the admin API is disabled: WAYSTATION_ADMIN_KEY is not set"
MISSING = "no operator key: send it as `Authorization: Bearer KEY`"
REFUSED = "invalid operator key: unknown or revoked"
BOOTSTRAP = "admin key"
"""The name in the audit log of a caller with ADMIN_KEY."""
READS = ("GET", "HEAD")
BODY_BYTES_MAX = 1024 * 1024


class RoleMissing(Forbidden):
    """403: a viewer may read, but not change anything."""

    code = "operator_read_only"

    def __init__(self) -> None:
        super().__init__("this operator has the role viewer; expected the role admin", extra={"role": str(Role.ADMIN)})


@dataclass(frozen=True, slots=True)
class Acting:
    """Who makes a request."""

    name: str
    role: Role

    def require(self, method: str) -> None:
        """Raise RoleMissing if this HTTP method needs a higher role."""
        if self.role is not Role.ADMIN and method not in READS:
            raise RoleMissing


def presented_key(authorization: str | None) -> str | None:
    """Return the key in the header; None if there is none."""
    scheme, _, presented = (authorization or "").partition(" ")
    return presented.strip() or None if scheme.lower() == "bearer" else None


def is_admin_key(admin_key: SecretStr | None, presented: str) -> bool:
    """Return whether this is ADMIN_KEY; False if none is set."""
    if admin_key is None or not admin_key.get_secret_value():
        return False
    # compare hashes: the time of the comparison must not reveal the length of the key
    expected = sha256(admin_key.get_secret_value().encode()).digest()
    return hmac.compare_digest(sha256(presented.encode()).digest(), expected)


class TooManyLogins(Refusal):
    """429: too many wrong operator keys came from this address."""

    status = 429
    code = "too_many_logins"

    def __init__(self, standing: Standing) -> None:
        seconds = max(1, seconds_up(standing.micros_until(1)))
        super().__init__(
            f"too many requests with an invalid operator key from this address; try again in {seconds} s",
            retry_after_seconds=seconds,
            headers=rate_headers([standing]),
        )


async def identify(request: Request) -> Acting:
    """Authenticate the caller. Raises Unauthorized, TooManyLogins, StoreUnavailable.

    A valid key works from any address, however many wrong ones came from there. It is looked up each time, so a revoked key
    stops working immediately.
    """
    settings = request.app.state.settings
    closed = settings.admin_key is None or not settings.admin_key.get_secret_value()
    presented = presented_key(request.headers.get("authorization"))
    if presented is None:
        raise Unauthorized(NOT_CONFIGURED if closed else MISSING)
    if is_admin_key(settings.admin_key, presented):
        return Acting(BOOTSTRAP, Role.ADMIN)
    strangers: Strangers = request.app.state.strangers
    address = strangers.address_of(request)
    if parse_key(presented, OPERATOR_MARK) is not None:
        hashes = [hash_key(secret, presented) for secret in settings.secrets]
        async with strangers.looking_up(address, LOGINS), request.app.state.database.snapshot() as session:
            operator = await find_known_operator(session, hashes=hashes)
        if operator is not None:
            return Acting(operator.name, operator.role)
        closed = False
    standing = strangers.failed(address, LOGINS)
    if standing is not None:
        raise TooManyLogins(standing)
    log.warning("operator.login_refused", address=address)
    raise Unauthorized(NOT_CONFIGURED if closed else REFUSED)


class OperatorRoute(CheckedRoute):
    """A route that authenticates its caller before it reads the body. A dependency would run only after that."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        """Return the handler behind the check."""
        handle = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            acting = await identify(request)
            acting.require(request.method)
            request.state.acting = acting
            if request.method not in READS:
                await _checked_body(request, acting)
            return await handle(request)

        return guarded


async def _checked_body(request: Request, acting: Acting) -> None:
    """Read a body with the same checks as for tenants. Store it where FastAPI reads it again."""
    bodies: Bodies = request.app.state.bodies
    allowance = Allowance(acting.name)
    body = await bodies.read_any(request, allowance, bytes_max=BODY_BYTES_MAX)
    if body:
        check_media_type(request.headers)
        await bodies.parse(body, allowance)
    request._body = body  # `Request.body` returns this attribute


async def _operator(request: Request) -> str:
    acting: Acting = request.state.acting
    return acting.name


Operator = Annotated[str, Depends(_operator)]
"""The caller's name, as the audit log shows it."""
