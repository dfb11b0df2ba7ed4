"""Check that everything the gateway depends on is configured correctly, and how to fix what is not."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from redis.exceptions import AuthenticationError, ResponseError

from app.books.models import WORDS
from app.books.operations import find_doubt
from app.core import clock
from app.core.commands.local import (
    STACK_FILE,
    find_database_url,
    find_redis_url,
    find_upstream_proxy,
    find_upstream_url,
)
from app.core.config.setting_files import find_setting
from app.core.config.settings import SettingsError, load_settings
from app.core.database.db import Database
from app.core.database.schema import Fit, Found, find_schema, head_revision
from app.core.database.session import ReadSession
from app.core.database.sql import SqlFolder
from app.core.errors import StoreUnavailable, WrongConnection
from app.core.redis.redis_pool import open_redis
from app.core.redis.subscription import REDIS_SECONDS, UNAVAILABLE_ERRORS
from app.http_client.caller import Caller, Limits

POSTGRES_MIN = 160_000
SKEW_SECONDS = 2.0
SILENT_SECONDS = 60
UPSTREAM_SECONDS = 10.0

STRANGERS_DAYS = 7


class _Server(NamedTuple):
    version: int
    version_shown: str
    fsync: str
    full_page_writes: str
    synchronous_commit: str
    standby: bool
    at: datetime


class _Reconciled(NamedTuple):
    """compared_at: None if never. strangers: requests on our key that are not ours."""

    open: int
    strangers: int
    compared_at: datetime | None


_SQL = SqlFolder(__file__)
_FIND_SERVER = _SQL.query("find_server", _Server)
_COUNT_WORKERS = _SQL.query("count_workers", int)
_FIND_RECONCILED = _SQL.query("find_reconciled", _Reconciled)


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check. `mend`: how to fix the problem; None if there is none."""

    name: str
    said: str
    mend: str | None = None


async def examine(data_dir: Path) -> AsyncIterator[Finding]:
    """Yield one finding after another. Raises nothing: an error is a finding."""
    yield _settings(data_dir)
    async for finding in _database(data_dir):
        yield finding
    yield await _redis(data_dir)
    yield await _upstream(data_dir)


def _settings(data_dir: Path) -> Finding:
    try:
        if find_setting("DATABASE_URL") is None and (data_dir / STACK_FILE).exists():
            return Finding("settings", f"taken from the stack in {data_dir}")
        load_settings()
    except SettingsError as error:
        return Finding("settings", str(error), "set it in the environment of every API and worker")
    return Finding("settings", "complete and valid")


async def _database(data_dir: Path) -> AsyncIterator[Finding]:
    try:
        database = await Database.open(find_database_url(data_dir), name="doctor", writers_max=1, readers_max=1)
    except SettingsError as error:
        yield Finding("database", str(error), "correct it in the environment of every API and worker")
        return
    try:
        await database.prove()
        async with database.snapshot() as session:
            before = clock.now()
            server = await session.get_row(_FIND_SERVER)
            after = clock.now()
            yield _version(server.version, server.version_shown, standby=server.standby)
            yield _durable(
                {name: getattr(server, name) for name in ("fsync", "full_page_writes", "synchronous_commit")}
            )
            yield _clock((server.at - before).total_seconds(), (server.at - after).total_seconds())
            schema = await find_schema(session)
            yield _migrations(schema)
            if schema.version is None:
                return
            yield await _workers(session)
            yield await _books(session)
            yield await _restored(session)
    except WrongConnection as error:
        yield Finding("database", error.message, "check WAYSTATION_DATABASE_URL; no process works until this is fixed")
    except StoreUnavailable as error:
        cause = error.__cause__ or error
        yield Finding(
            "database", f"does not answer: {type(cause).__name__}", "start it, and check that it accepts this login"
        )
    except Exception as error:  # whatever else the server says is a finding, too
        yield Finding("database", f"error: {error}", "run `waystation migrate` as its owner")
    finally:
        await database.close()


def _version(number: int, shown: str, *, standby: bool) -> Finding:
    if standby:
        return Finding("database", f"PostgreSQL {shown}, a standby", "set WAYSTATION_DATABASE_URL to the primary")
    if number < POSTGRES_MIN:
        return Finding("database", f"PostgreSQL {shown}", f"upgrade to {POSTGRES_MIN // 10_000} or newer")
    return Finding("database", f"PostgreSQL {shown}")


def _durable(settings: dict[str, str]) -> Finding:
    said = ", ".join(f"{name} = {value}" for name, value in settings.items())
    wrong = [name for name, value in settings.items() if value == "off"]
    if not wrong:
        return Finding("durability", said)
    return Finding("durability", said, f"an answered submit may be lost: ALTER SYSTEM SET {wrong[0]} = on, and reload")


def _clock(most: float, least: float) -> Finding:
    """`most` and `least`: the skew if the database read its clock right after our request, or right before its answer."""
    skew = 0.0 if least <= 0 <= most else min(most, least, key=abs)
    said = f"differs by {abs(skew):.3f} s from the database's"
    if abs(skew) <= SKEW_SECONDS:
        return Finding("clock", said)
    return Finding("clock", said, "run NTP on both machines: times of jobs and deadlines are wrong by this difference")


def _migrations(found: Found) -> Finding:
    head = head_revision()
    match found.fit(head):
        case Fit.BEHIND:
            return Finding("migrations", found.sentence(head), "run `waystation migrate`")
        case Fit.CONTRACTED:
            return Finding(
                "migrations", found.sentence(head), "run a newer release, or restore a backup from before the migration"
            )
    newest = (
        "the newest revision" if found.version == head else f"newer than this release's {head} and compatible with it"
    )
    return Finding("migrations", f"at {found.version}, {newest}")


async def _workers(session: ReadSession) -> Finding:
    alive = await session.get_value(_COUNT_WORKERS, silent_seconds=SILENT_SECONDS)
    if alive:
        return Finding("workers", f"{alive} running")
    return Finding("workers", f"no heartbeat for {SILENT_SECONDS} s", "start `waystation worker`: nothing is sent")


async def _books(session: ReadSession) -> Finding:
    """The last reconciliations; above all, whether somebody else uses the upstream key."""
    found = await session.get_row(_FIND_RECONCILED, days=STRANGERS_DAYS)
    if found.compared_at is None:
        return Finding("books", "not reconciled with the upstream yet; a worker does this daily")
    said = f"reconciled on {found.compared_at:%Y-%m-%d}, {found.open} discrepancies open"
    if not found.strangers:
        return Finding("books", said)
    said += f"; {found.strangers} requests of the last {STRANGERS_DAYS} days with the upstream key are not from this gateway"
    return Finding("books", said, "see ops.discrepancies; give other users of the key a key of their own")


async def _restored(session: ReadSession) -> Finding:
    """Whether the database may be older than what was sent."""
    doubt = await find_doubt(session)
    if doubt is None:
        return Finding("restore", "no sign that the database is older than what was sent")
    return Finding("restore", f"sending is stopped: {WORDS[doubt]}", "run `waystation recover`")


async def _redis(data_dir: Path) -> Finding:
    try:
        url = find_redis_url(data_dir)
    except SettingsError as error:
        return Finding("redis", str(error), "correct it in the environment of every API and worker")
    if url is None:
        return Finding("redis", "not configured", "set WAYSTATION_REDIS_URL")
    redis = open_redis(url, socket_timeout=REDIS_SECONDS, socket_connect_timeout=REDIS_SECONDS)
    try:
        async with redis:
            memory: dict[str, Any] = await redis.info("memory")
    except (AuthenticationError, ResponseError) as error:
        mend = "correct user, password and database in WAYSTATION_REDIS_URL; until then only sweeps find work, which is slower"
        return Finding("redis", f"error: {error}", mend)
    except UNAVAILABLE_ERRORS as error:
        return Finding(
            "redis",
            f"does not answer: {type(error).__name__}",
            "start it; until then only sweeps find work, which is slower",
        )
    policy = memory.get("maxmemory_policy", "unknown")
    if policy == "noeviction":
        return Finding("redis", "answers, maxmemory-policy = noeviction")
    return Finding(
        "redis",
        f"maxmemory-policy = {policy}",
        "CONFIG SET maxmemory-policy noeviction: otherwise notifications are lost",
    )


async def _upstream(data_dir: Path) -> Finding:
    try:
        url, proxy = find_upstream_url(data_dir), find_upstream_proxy()
    except SettingsError as error:
        return Finding("upstream", str(error), "correct it in the environment of every API and worker")
    host = urlsplit(url).netloc
    limits = Limits(UPSTREAM_SECONDS, UPSTREAM_SECONDS, UPSTREAM_SECONDS, 1_000_000)
    caller = Caller(url, headers={}, connections_max=1, keep_alive=False, limits=limits, proxy=proxy)
    try:
        called = await caller.call("GET", "")
    finally:
        await caller.close()
    if called.status_code is None:
        mend = "check WAYSTATION_UPSTREAM_URL, WAYSTATION_UPSTREAM_PROXY, DNS and firewall"
        return Finding("upstream", f"{host} does not answer: {called.failure}", mend)
    return Finding("upstream", f"{host} answers (HTTP {called.status_code})")
