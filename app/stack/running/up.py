"""`waystation up`: run the whole stack on one machine.

DIR/credentials.json    its secrets, made once             DIR/lock          held while a stack runs on DIR
DIR/postgres, valkey    the embedded servers               DIR/stack.json    its URLs, while it runs
DIR/simulator           port and book of the simulator     DIR/logs, run     output and interlocks of our processes
DIR/witness, .json      whether DIR is a copy
"""

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from app.core.commands.terminal import echo
from app.stack.errors import StackError
from app.stack.files import make_directory
from app.stack.processes.interlock import hold_directory
from app.stack.processes.signals import interruptible
from app.stack.processes.supervisor import Supervisor, side_by_side, stop_leftovers
from app.stack.running.plan import (
    Addresses,
    Plan,
    Seams,
    UpOptions,
    effective,
    environment,
    http_url,
    runs_simulator,
    setting,
    upstream_url,
)
from app.stack.running.running import LOCK, RunningStack, publish, withdraw
from app.stack.running.witness import is_copy, mark
from app.stack.servers.credentials import Credentials, load_credentials, save_credentials
from app.stack.servers.ports import claim_port, listen
from app.stack.servers.postgres import EmbeddedPostgres
from app.stack.servers.valkey import EmbeddedValkey


class Stack:
    """One stack on one data directory: `start`, `describe`, `stop`. Use it from the main thread."""

    def __init__(self, options: UpOptions, seams: Seams) -> None:
        self.options = options
        self.directory = options.data_dir.absolute()
        self._seams = seams
        self._logs = self.directory / "logs"
        self._supervisor = Supervisor(self.directory, changed=self._publish, logs=self._logs)
        self._postgres: EmbeddedPostgres | None = None
        self._valkey: EmbeddedValkey | None = None
        self._listener: socket.socket | None = None
        self._lock: int | None = None
        self._copied = False
        self._description: RunningStack | None = None

    async def start(self) -> None:
        """Start everything; return when it is healthy and published. Raises StackError. Call `stop` in any case."""
        try:
            await self._start()
        except OSError as error:
            raise StackError(f"{error.strerror or error}: {error.filename or self.directory}") from error

    async def _start(self) -> None:
        make_directory(self.directory)
        self._lock = await hold_directory(self.directory / LOCK)
        withdraw(self.directory, self.options.ready_file)
        await stop_leftovers(self.directory)
        self._copied = is_copy(self.directory)
        self._listener = listen(self.options.host, self.options.port)
        path = self.directory / "credentials.json"
        stored = load_credentials(path)
        credentials = effective(stored)
        database_url, redis_url = await self._start_servers(credentials)
        tenant, key = await self._prepare(database_url, redis_url, credentials)
        if key != stored.tenant_key:
            save_credentials(path, stored.with_tenant_key(key))
        await self._start_children(database_url, redis_url, credentials.with_tenant_key(key), tenant)
        self._publish()

    async def stop(self) -> None:
        """Stop the stack in order, even if it started only in part."""
        if self._lock is None:
            return
        self._description = None
        withdraw(self.directory, self.options.ready_file)
        if self._listener is not None:
            self._listener.close()
        await self._supervisor.stop()
        os.close(self._lock)
        self._lock = None

    def hurry(self) -> None:
        """During `stop`: do not wait any longer for our own processes."""
        self._supervisor.hurry()

    def describe(self) -> RunningStack:
        """Return its current state."""
        if self._description is None:
            raise RuntimeError("not running")
        pids = self._supervisor.pids
        return {
            **self._description,
            "pids": {
                "api": pids("api"),
                "worker": pids("worker"),
                "postgres": next(iter(pids("postgres")), None),
                "redis": next(iter(pids("redis")), None),
            },
        }

    async def _start_servers(self, credentials: Credentials) -> tuple[str, str]:
        """Start the servers that are not configured. Return the owner's database URL and the Redis URL."""
        database_url, redis_url = setting("DATABASE_URL"), setting("REDIS_URL")
        if database_url is None:
            self._postgres = EmbeddedPostgres(
                self.directory / "postgres",
                password=credentials.database_password,
                log_path=self._logs / "postgres.log",
            )
        if redis_url is None:
            self._valkey = EmbeddedValkey(
                self.directory / "valkey",
                password=credentials.redis_password,
                log_path=self._logs / "valkey.log",
            )
        servers = [server for server in (self._postgres, self._valkey) if server is not None]
        self._supervisor.keep_logs_short()
        await side_by_side(*(self._supervisor.add_server(server) for server in servers))
        return (
            self._postgres.url if self._postgres else str(database_url),
            self._valkey.url if self._valkey else str(redis_url),
        )

    async def _prepare(self, database_url: str, redis_url: str, credentials: Credentials) -> tuple[str, str]:
        """Prepare the database before anything is sent. Return the demo tenant's name and key."""
        copied = None if self._postgres is None else self._copied
        try:
            await asyncio.to_thread(self._seams.migrate, database_url)
            await self._seams.guard_books(database_url, redis_url, copied)
            if copied is not None:
                mark(self.directory)
            if self.options.paused:
                await self._seams.pause(database_url)
            return await self._seams.ensure_demo_tenant(database_url, credentials.secret_key, credentials.tenant_key)
        except Exception as error:
            raise StackError(f"the database could not be prepared: {error or type(error).__name__}") from error

    async def _start_children(self, database_url: str, redis_url: str, credentials: Credentials, tenant: str) -> None:
        """Start our processes at the same time. They stop in this order: APIs, workers, simulator."""
        listener = self._listener
        if listener is None:
            raise RuntimeError("not listening")
        port = listener.getsockname()[1]
        simulator_port = None
        if runs_simulator(self.options):
            make_directory(self.directory / "simulator")
            simulator_port = claim_port(self.directory / "simulator" / "port")
        addresses = Addresses(
            url=http_url(self.options.host, port),
            database_url=database_url,
            redis_url=redis_url,
            upstream_url=upstream_url(simulator_port),
        )
        plan = Plan(
            options=self.options,
            program=self._seams.program,
            directory=self.directory,
            environment=environment(self.options, addresses, credentials),
        )
        groups = [plan.simulator(simulator_port)] if simulator_port is not None else []
        await side_by_side(
            self._supervisor.add_children(groups),
            self._supervisor.add_children(plan.workers(partial(self._seams.worker_ready, database_url))),
            self._supervisor.add_children(plan.apis(listener.fileno(), port)),
        )
        self._description = {
            "url": addresses.url,
            "api_key": str(credentials.tenant_key),
            "tenant": tenant,
            "admin_key": credentials.admin_key,
            "database_url": database_url,
            "redis_url": redis_url,
            "upstream_url": addresses.upstream_url,
            "pids": {"api": [], "worker": [], "postgres": None, "redis": None},
        }

    def _publish(self) -> None:
        """Publish the state of the stack. Also called whenever a process was replaced."""
        if self._description is not None:
            publish(self.describe(), self.directory, self.options.ready_file)


@asynccontextmanager
async def running(stack: Stack) -> AsyncIterator[Stack]:
    """Run a healthy stack during the block."""
    try:
        await stack.start()
        yield stack
    finally:
        await stack.stop()


async def _serve(stack: Stack) -> None:
    async with running(stack):
        echo(_announcement(stack), end=False)
        await asyncio.Event().wait()


async def run_up(options: UpOptions, seams: Seams) -> int:
    """Run the stack until SIGTERM, SIGINT or SIGHUP. Return the exit code 0. Raises StackError if it cannot run."""
    stack = Stack(options, seams)
    await interruptible(_serve(stack), hurry=stack.hurry)
    return 0


PAUSED = "Nothing is sent to the upstream until `waystation resume`.\n"


def _announcement(stack: Stack) -> str:
    """Return the output for a healthy stack: one line of JSON, or some lines for people."""
    found = stack.describe()
    if stack.options.json:
        return json.dumps(found) + "\n"
    return (
        f"Waystation is up at {found['url']}\n"
        f"  tenant {found['tenant']:<11}{found['api_key']}\n"
        f"  admin key         {found['admin_key']}\n"
        f"  API reference     {found['url']}/docs\n"
        f"  upstream          {found['upstream_url']}{' (simulator)' if runs_simulator(stack.options) else ''}\n"
        f"  data and logs     {stack.directory}\n"
        f"{PAUSED if stack.options.paused else ''}"
        "Ctrl-C stops it; the data stays.\n"
    )
