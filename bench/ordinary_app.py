"""The ordinary design, built small but as its libraries' manuals teach: what a good team would write in a week.

FastAPI with dependencies, the SQLAlchemy ORM with a session a request or task, one arq job for each step (submit, each
poll, fetch) and httpx as it comes. A row for the job, a row for each change of its state; the submit is committed before
it is answered. Left out in its favour: logs, limits, leases, retries, recovery. `python -m bench.ordinary_app api|worker`,
settings as JSON in BENCH_ORDINARY.
"""

import hashlib
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import UUID, uuid4

import httpx
import uvicorn
from arq import create_pool
from arq.connections import ArqRedis, RedisSettings
from arq.worker import Worker, func
from fastapi import Depends, FastAPI, Header, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy import DateTime, ForeignKey, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


@dataclass(frozen=True, slots=True)
class Settings:
    """What both processes are told."""

    database_url: str
    redis_url: str
    upstream_url: str
    port: int
    poll_seconds: float
    max_jobs: int = 100


class Base(DeclarativeBase):
    """All tables."""

    type_annotation_map = {dict[str, Any]: JSONB, datetime: DateTime(timezone=True)}  # noqa: RUF012


class Tenant(Base):
    """Somebody with a key."""

    __tablename__ = "tenants"
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    key_hash: Mapped[bytes] = mapped_column(unique=True)


class Job(Base):
    """What a tenant asked for."""

    __tablename__ = "jobs"
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    tenant_id: Mapped[UUID] = mapped_column(ForeignKey("tenants.id"), index=True)
    model: Mapped[str]
    input: Mapped[dict[str, Any]]
    status: Mapped[str] = mapped_column(default="QUEUED", index=True)
    upstream_id: Mapped[str | None] = mapped_column(unique=True)
    polls: Mapped[int] = mapped_column(default=0)
    result: Mapped[dict[str, Any] | None]
    detection_seconds: Mapped[float | None]
    created_at: Mapped[datetime]
    submitted_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None] = mapped_column(index=True)


class Event(Base):
    """A change of state."""

    __tablename__ = "events"
    id: Mapped[int] = mapped_column(primary_key=True)
    job_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id"), index=True)
    status: Mapped[str]
    at: Mapped[datetime]


class Accepted(BaseModel):
    """The answer to a submit."""

    request_id: UUID
    status: str


def hash_of(key: str) -> bytes:
    """As a key is stored."""
    return hashlib.sha256(key.encode()).digest()


def _now() -> datetime:
    return datetime.now(UTC)


async def session_of(request: Request) -> AsyncIterator[AsyncSession]:
    """A session for one request."""
    async with request.app.state.sessions() as session:
        yield session


Session = Annotated[AsyncSession, Depends(session_of)]


async def tenant_of(session: Session, x_api_key: Annotated[str, Header()]) -> Tenant:
    """Who is calling."""
    tenant = await session.scalar(select(Tenant).where(Tenant.key_hash == hash_of(x_api_key)))
    if tenant is None:
        raise HTTPException(401)
    return tenant


Caller = Annotated[Tenant, Depends(tenant_of)]


def create_app(settings: Settings) -> FastAPI:
    """The API."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        engine = create_async_engine(settings.database_url, pool_size=10)
        app.state.sessions = async_sessionmaker(engine, expire_on_commit=False)
        app.state.redis = await create_pool(RedisSettings.from_dsn(settings.redis_url))
        yield
        await app.state.redis.aclose()
        await engine.dispose()

    app = FastAPI(lifespan=lifespan)

    @app.post("/v2/{model}")
    async def submit(
        model: str, parameters: dict[str, Any], request: Request, session: Session, caller: Caller
    ) -> Accepted:
        job = Job(id=uuid4(), tenant_id=caller.id, model=model, input=parameters, created_at=_now())
        session.add(job)
        await session.flush()
        session.add(Event(job_id=job.id, status="QUEUED", at=job.created_at))
        await session.commit()
        redis: ArqRedis = request.app.state.redis
        await redis.enqueue_job("submit", str(job.id))
        return Accepted(request_id=job.id, status=job.status)

    @app.get("/v2/requests/{job_id}")
    async def read(job_id: UUID, session: Session, caller: Caller) -> Response:
        job = await session.get(Job, job_id)
        if job is None or job.tenant_id != caller.id:
            raise HTTPException(404)
        if job.result is not None:
            return JSONResponse({**job.result, "request_id": str(job.id)})
        return JSONResponse({"request_id": str(job.id), "status": job.status})

    return app


async def submit_job(context: dict[str, Any], job_id: str) -> None:
    """First step."""
    async with context["sessions"]() as session:
        job = await session.get(Job, UUID(job_id))
        answer = await context["http"].post(f"/v2/{job.model}", json=job.input)
        answer.raise_for_status()
        job.upstream_id, job.status, job.submitted_at = answer.json()["request_id"], "PROCESSING", _now()
        session.add(Event(job_id=job.id, status=job.status, at=job.submitted_at))
        await session.commit()
    await context["redis"].enqueue_job("poll", job_id, _defer_by=timedelta(seconds=context["poll_seconds"]))


async def poll_job(context: dict[str, Any], job_id: str) -> None:
    """Second to last but one."""
    async with context["sessions"]() as session:
        job = await session.get(Job, UUID(job_id))
        answer = await context["http"].get(f"/v2/requests/{job.upstream_id}/status")
        job.polls += 1
        ended = answer.json()["status"] == "COMPLETED"
        await session.commit()
    if ended:
        await context["redis"].enqueue_job("fetch", job_id)
    else:
        await context["redis"].enqueue_job("poll", job_id, _defer_by=timedelta(seconds=context["poll_seconds"]))


async def fetch_job(context: dict[str, Any], job_id: str) -> None:
    """Last step."""
    async with context["sessions"]() as session:
        job = await session.get(Job, UUID(job_id))
        answer = await context["http"].get(f"/v2/requests/{job.upstream_id}")
        job.result, job.status, job.finished_at = answer.json(), "COMPLETED", _now()
        ran = job.result["metrics"]["total_time"]
        job.detection_seconds = (job.finished_at - job.submitted_at).total_seconds() - ran
        session.add(Event(job_id=job.id, status=job.status, at=job.finished_at))
        await session.commit()


def run_worker(settings: Settings) -> None:
    """One worker."""

    async def on_startup(context: dict[str, Any]) -> None:
        context["engine"] = create_async_engine(settings.database_url, pool_size=20, max_overflow=settings.max_jobs)
        context["sessions"] = async_sessionmaker(context["engine"], expire_on_commit=False)
        context["http"] = httpx.AsyncClient(
            base_url=settings.upstream_url, headers={"x-api-key": "bench"}, timeout=30, trust_env=False
        )
        context["poll_seconds"] = settings.poll_seconds

    async def on_shutdown(context: dict[str, Any]) -> None:
        await context["http"].aclose()
        await context["engine"].dispose()

    steps: dict[str, Any] = {"submit": submit_job, "poll": poll_job, "fetch": fetch_job}
    Worker(
        functions=[func(step, name=name) for name, step in steps.items()],
        redis_settings=RedisSettings.from_dsn(settings.redis_url),
        on_startup=on_startup,  # type: ignore[arg-type]
        on_shutdown=on_shutdown,  # type: ignore[arg-type]
        max_jobs=settings.max_jobs,
        keep_result=0,
    ).run()


def main() -> None:
    settings = Settings(**json.loads(os.environ["BENCH_ORDINARY"]))
    if sys.argv[1] == "api":
        uvicorn.run(create_app(settings), port=settings.port, access_log=False, log_level="warning")
    else:
        run_worker(settings)


if __name__ == "__main__":
    main()
