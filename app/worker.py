"""The worker process: the engine on its own event loop, with arq beside it as a supervised source of notifications.

`waystation worker` runs it. `arq app.worker.WorkerSettings` runs the same engine, but on arq's event loop.
"""

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable
from functools import cache
from typing import Any, ClassVar

import uvloop
from arq.connections import ArqRedis
from arq.worker import Worker, create_worker

from app.core.commands.terminal import echo
from app.core.config.environment import ignore_variables_of_libpq
from app.core.config.setting_files import SettingsError, with_files
from app.core.config.settings import Settings, load_settings, start
from app.core.errors import WrongConnection
from app.core.escapes import one_line
from app.core.logs.grouped_log import Outage
from app.core.logs.log import get_logger, scrubbed
from app.core.logs.redaction import know, secrets_of_environment
from app.core.process.cancel import cancel_all
from app.core.process.memory import return_large_blocks
from app.core.process.stop_signals import stop_signals
from app.core.redis.arq_redis import QUEUE, Later, PatientRedis, arq_pool, arq_settings, deserialized, serialized
from app.core.redis.doorbell import TASKS, Task
from app.core.redis.subscription import UNAVAILABLE_ERRORS
from app.engine import Engine
from app.worker_process import Process

log = get_logger(__name__)

ARQ_POLL_SECONDS = 0.5
"""How often arq polls Redis. Published notifications arrive sooner."""
ARQ_HEALTH_SECONDS = 5
"""How often arq records its health for `arq --check`."""
ARQ_RESTART_SECONDS = 0.5
ARQ_CLOSE_SECONDS = 1.0
ARQ_CLAIM_SECONDS = 2.0
"""How long arq reserves a notification for a worker that died with it. arq's own minimum of 10 s would delay its work."""


async def dispatch(ctx: dict[str, Any]) -> None:
    """arq's task: jobs may wait to be submitted."""
    ctx["engine"].ring("dispatch")


async def poll(ctx: dict[str, Any]) -> None:
    """arq's task: jobs may be due for a poll."""
    ctx["engine"].ring("poll")


async def deliver(ctx: dict[str, Any]) -> None:
    """arq's task: webhooks may be due."""
    ctx["engine"].ring("deliver")


async def look_once_more(ctx: dict[str, Any]) -> None:
    """Run after each task of arq: arq drops a notification that comes while a task of the same name runs."""
    task: Task = ctx["job_id"]
    if task in TASKS:
        ctx["engine"].ring(task)


async def on_startup(ctx: dict[str, Any]) -> None:
    """Start the engine when arq runs the process. SIGTERM and SIGINT end both: arq takes no more notifications, and waits in
    `on_shutdown` until the engine has ended."""
    _refuse_reloading()
    return_large_blocks()
    process = Process(_read_settings(start))
    main = asyncio.current_task()
    assert main is not None
    await process.begin()
    ctx["engine"], ctx["signals"] = process.engine, contextlib.ExitStack()
    ctx["signals"].enter_context(stop_signals(first=process.stop.set, again=process.hurried.set))

    async def ended() -> int:
        await process.over()
        arq_ended = asyncio.create_task(cancel_all([main]))
        code = await process.end()
        await arq_ended
        return code

    ctx["process"], ctx["ended"] = process, asyncio.create_task(ended())


async def on_shutdown(ctx: dict[str, Any]) -> None:
    """Wait until the engine has ended. If arq stops for its own reason, end the engine here."""
    if "process" not in ctx:
        return
    ctx["process"].stop.set()
    try:
        code = await ctx["ended"]
    except WrongConnection as error:
        raise _failed(error, error.exit_code) from None
    finally:
        ctx["signals"].close()
    if code:
        raise SystemExit(code)


def _read_settings(read: Callable[[], Settings]) -> Settings:
    """Prepare as `waystation` does before a command, which arq does not do."""
    know(secrets_of_environment(with_files(os.environ)))
    ignore_variables_of_libpq()
    try:
        return read()
    except SettingsError as error:
        raise _failed(error) from None


def _failed(error: Exception, code: int = 1) -> SystemExit:
    """Return an exception that ends the process with one line on standard error."""
    line = "waystation: " + one_line(scrubbed(str(error)))
    if code == 1:  # Python itself prints a text code, once, however often it is raised
        return SystemExit(line)
    echo(line, to_stderr=True)
    return SystemExit(code)


def _refuse_reloading() -> None:
    """Refuse `arq --watch`: after a change of a file it connects to another Redis, and it does not end on SIGTERM."""
    if any(getattr(task.get_coro(), "__name__", "") == "watch_reload" for task in asyncio.all_tasks()):
        raise _failed(ValueError("arq's --watch is not supported: restart the worker after a change of its code"), 2)


@cache
def _redis_url() -> str:
    return _read_settings(load_settings).redis_url


class WorkerSettings:
    """The settings for `arq app.worker.WorkerSettings` and `arq --check app.worker.WorkerSettings`."""

    functions: ClassVar[list[Any]] = [dispatch, poll, deliver]
    on_startup = on_startup
    on_shutdown = on_shutdown
    after_job_end = look_once_more
    queue_name = QUEUE
    redis_pool: ClassVar[Any] = Later(lambda: arq_pool(_redis_url(), kind=PatientRedis))
    redis_settings: ClassVar[Any] = Later(lambda: arq_settings(_redis_url()))  # `--check` uses it
    job_serializer = serialized
    job_deserializer = deserialized
    poll_delay = ARQ_POLL_SECONDS
    keep_result = 0
    max_tries = 1000
    job_timeout = 1
    """Seconds. arq adds ten: so long it reserves a notification for a worker that died with it."""
    job_completion_wait = 1
    health_check_interval = ARQ_HEALTH_SECONDS
    log_results = False


async def ring_forever(engine: Engine, redis_url: str) -> None:
    """Run arq, and restart it whenever it exits, as without Redis. The engine's timers work without it."""
    away = Outage(log, begun="arq.stopped", over="arq.started")
    while True:
        pool = arq_pool(redis_url)
        worker = _supervised(engine, pool)
        try:
            await pool.ping()
            away.passed()
            await worker.async_run()
        except UNAVAILABLE_ERRORS as error:
            away.met(cause=repr(error))
        except Exception:
            log.exception("arq.failed")
        finally:
            await _closed(worker)
        await asyncio.sleep(ARQ_RESTART_SECONDS)


def _supervised(engine: Engine, pool: ArqRedis) -> Worker:
    worker = create_worker(
        WorkerSettings,  # type: ignore[arg-type]
        redis_pool=pool,
        ctx={"engine": engine},
        on_startup=None,
        on_shutdown=None,
        handle_signals=False,
    )
    worker.in_progress_timeout_s = ARQ_CLAIM_SECONDS
    return worker


async def _closed(worker: Worker) -> None:
    """Close arq even if Redis does not answer: a stopping process must not wait for Redis."""
    try:
        async with asyncio.timeout(ARQ_CLOSE_SECONDS):
            await worker.close()
    except UNAVAILABLE_ERRORS as error:
        log.debug("arq.close_failed", cause=repr(error))
        await worker.pool.connection_pool.disconnect(inuse_connections=True)


async def work(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT; then finish or hand back work within the grace period. Return the exit code.

    Raises WrongConnection after such a shutdown, if a connection to Postgres proved wrong.
    """
    process = Process(settings)
    with stop_signals(first=process.stop.set, again=process.hurried.set):
        await process.begin()
        process.take(ring_forever(process.engine, settings.redis_url))
        await process.over()
        return await process.end()


def run_worker(settings: Settings) -> None:
    """Run one worker process."""
    return_large_blocks()
    sys.exit(uvloop.run(work(settings)))
