"""The worker process: the engine on a loop of its own, with arq as a supervised doorbell beside it.

`waystation worker` runs it. `arq app.worker.WorkerSettings` runs the same engine the other way round: arq's loop, with the
engine beside it.
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

from app.core.arq_redis import QUEUE, Later, PatientRedis, arq_pool, arq_settings, deserialized, serialized
from app.core.cancel import cancel_all
from app.core.doorbell import TASKS, Task
from app.core.environment import ignore_variables_of_libpq
from app.core.errors import WrongConnection
from app.core.escapes import one_line
from app.core.grouped_log import Outage
from app.core.log import get_logger, scrubbed
from app.core.memory import return_large_blocks
from app.core.redaction import know, secrets_of_environment
from app.core.setting_files import SettingsError, with_files
from app.core.settings import Settings, load_settings, start
from app.core.stop_signals import stop_signals
from app.core.subscription import AWAY
from app.core.terminal import echo
from app.engine import Engine
from app.worker_process import Process

log = get_logger(__name__)

ARQ_POLL_SECONDS = 0.5
"""How often arq looks into Redis; who hears what is published need not wait for it."""
ARQ_HEALTH_SECONDS = 5
"""How often arq says that it is there, to `arq --check`."""
ARQ_RESTART_SECONDS = 0.5
ARQ_CLOSE_SECONDS = 1.0
ARQ_CLAIM_SECONDS = 2.0
"""How long arq leaves a ring to a worker that died with it; its own least is 10 s, and nobody would find rings meanwhile."""


async def dispatch(ctx: dict[str, Any]) -> None:
    """arq's task: jobs may wait to be sent."""
    ctx["engine"].ring("dispatch")


async def poll(ctx: dict[str, Any]) -> None:
    """arq's task: the upstream may be to be asked about jobs."""
    ctx["engine"].ring("poll")


async def deliver(ctx: dict[str, Any]) -> None:
    """arq's task: webhooks may be due."""
    ctx["engine"].ring("deliver")


async def look_once_more(ctx: dict[str, Any]) -> None:
    """After each task of arq's: a ring that came while it ran found its name taken, and was dropped by arq."""
    task: Task = ctx["job_id"]
    if task in TASKS:
        ctx["engine"].ring(task)


async def on_startup(ctx: dict[str, Any]) -> None:
    """Where arq runs the process: the engine starts beside it. SIGTERM and SIGINT end both: arq takes no ring any more, and
    waits in `on_shutdown` until the engine has ended."""
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
    """The engine ends, or has ended. It ends first here where arq stops for a reason of its own."""
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
    """What `waystation` does before a command, since arq does not."""
    know(secrets_of_environment(with_files(os.environ)))
    ignore_variables_of_libpq()
    try:
        return read()
    except SettingsError as error:
        raise _failed(error) from None


def _failed(error: Exception, code: int = 1) -> SystemExit:
    """To be raised: ends the process with one line on standard error."""
    line = "waystation: " + one_line(scrubbed(str(error)))
    if code == 1:  # as Python does with text, once, however often it is raised
        return SystemExit(line)
    echo(line, to_stderr=True)
    return SystemExit(code)


def _refuse_reloading() -> None:
    """`arq --watch` makes a new connection when a file has changed, to a Redis of its own choice, and does not end by SIGTERM."""
    if any(getattr(task.get_coro(), "__name__", "") == "watch_reload" for task in asyncio.all_tasks()):
        raise _failed(ValueError("arq's --watch is not supported: restart the worker after a change of its code"), 2)


@cache
def _redis_url() -> str:
    return _read_settings(load_settings).redis_url


class WorkerSettings:
    """For `arq app.worker.WorkerSettings`, and `arq --check app.worker.WorkerSettings`."""

    functions: ClassVar[list[Any]] = [dispatch, poll, deliver]
    on_startup = on_startup
    on_shutdown = on_shutdown
    after_job_end = look_once_more
    queue_name = QUEUE
    redis_pool: ClassVar[Any] = Later(lambda: arq_pool(_redis_url(), kind=PatientRedis))
    redis_settings: ClassVar[Any] = Later(lambda: arq_settings(_redis_url()))  # what `--check` uses
    job_serializer = serialized
    job_deserializer = deserialized
    poll_delay = ARQ_POLL_SECONDS
    keep_result = 0
    max_tries = 1000
    job_timeout = 1
    """Seconds. Ten more is how long a ring is left to a worker that died with it."""
    job_completion_wait = 1
    health_check_interval = ARQ_HEALTH_SECONDS
    log_results = False


async def ring_forever(engine: Engine, redis_url: str) -> None:
    """arq, which exits when Redis goes: started again and again; our own timers do without it meanwhile."""
    away = Outage(log, begun="arq.stopped", over="arq.started")
    while True:
        pool = arq_pool(redis_url)
        worker = _supervised(engine, pool)
        try:
            await pool.ping()
            away.passed()
            await worker.async_run()
        except AWAY as error:
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
    """Also where Redis does not answer: a process that is told to stop must not wait for it."""
    try:
        async with asyncio.timeout(ARQ_CLOSE_SECONDS):
            await worker.close()
    except AWAY as error:
        log.debug("arq.close_failed", cause=repr(error))
        await worker.pool.connection_pool.disconnect(inuse_connections=True)


async def work(settings: Settings) -> int:
    """Until SIGTERM or SIGINT; then hand back or finish within the grace. The exit code.

    Raises WrongConnection, having stopped likewise, once a connection to Postgres has proved wrong.
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
