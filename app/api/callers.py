"""Authentication of the native surface, as dependencies of its routes."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar
from uuid import UUID

from fastapi import Depends, Request

from app.core.database.db import Database, retry_read
from app.core.database.session import ReadSession, Session
from app.core.errors import Malformed, StatementTimedOut, StoreUnavailable, TooManyReads, Unauthorized
from app.tenants.auth import Principal, ScopeMissing
from app.tenants.models import Scope

ALWAYS = (Unauthorized, ScopeMissing, Malformed, StoreUnavailable, StatementTimedOut, TooManyReads)
"""Refusals that every route may answer with."""

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated tenant, and its access to the database."""

    principal: Principal
    database: Database

    @property
    def tenant_id(self) -> UUID:
        """The tenant of the request."""
        return self.principal.tenant_id

    async def read(self, query: Callable[[ReadSession], Awaitable[Result]]) -> Result:
        """The result of `query`, within the tenant's share of the connections. Waits if Postgres is briefly unavailable."""

        async def once() -> Result:
            async with self.database.snapshot(self.tenant_id) as session:
                return await query(session)

        return await retry_read(once)

    def transaction(self) -> AbstractAsyncContextManager[Session]:
        """A transaction within the tenant's share of the connections."""
        return self.database.transaction_of(self.tenant_id)


async def authenticated(request: Request, scope: Scope | None) -> Principal:
    """The principal of a request. `scope` None: any key may. Raises Unauthorized, ScopeMissing, TenantSuspended,
    StoreUnavailable."""
    principal: Principal = await request.app.state.keyring.authenticate(
        x_api_key=request.headers.get("x-api-key"), authorization=request.headers.get("authorization")
    )
    if scope is not None:
        principal.require(scope)
    return principal


def reading(scope: Scope | None) -> Any:
    """The dependency of a route that reads."""

    async def reader(request: Request) -> Caller:
        principal = await retry_read(lambda: authenticated(request, scope))
        return Caller(principal, request.app.state.database)

    return Depends(reader)


def writing(scope: Scope) -> Any:
    """The dependency of a route that writes. It refuses suspended tenants."""

    async def writer(request: Request) -> Caller:
        principal = await authenticated(request, scope)
        principal.require(scope, writes=True)
        return Caller(principal, request.app.state.database)

    return Depends(writer)


AnyReader = Annotated[Caller, reading(None)]
JobsReader = Annotated[Caller, reading(Scope.JOBS_READ)]
JobsWriter = Annotated[Caller, writing(Scope.JOBS_WRITE)]
BillingReader = Annotated[Caller, reading(Scope.BILLING_READ)]
WebhooksReader = Annotated[Caller, reading(Scope.WEBHOOKS)]
WebhooksWriter = Annotated[Caller, writing(Scope.WEBHOOKS)]
