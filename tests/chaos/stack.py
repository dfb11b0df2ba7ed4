"""A whole stack of real processes for one test: `waystation up` on a directory of its own, and hands to hurt it with.

role: `api`, `worker`, `postgres`, `redis` (as the ready file names them) or `simulator`.
"""

import asyncio
import contextlib
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from app.core.database.db import Database
from app.ledger.operations import grant
from app.simulator.book import Book
from app.stack.files import read_json
from app.stack.processes.interlock import signed
from app.tenants.queries import find_tenant

PATIENCE_SECONDS = 240.0
"""After which a wait is given up. It tells a hang from a busy machine, and says nothing of how fast anything is."""
READY_SECONDS = 240.0
STOP_SECONDS = 90.0
POLL_SECONDS = 0.02
LEASE_SECONDS = 2.0
SWEEP_SECONDS = 0.2
CREDITS_MICRO = 10**14


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run. `settings` are ours without their prefix, on top of a short lease and sweep. `history`: whether unknown jobs are
    resolved from the upstream's history; most tests prove what is known without it."""

    workers: int = 2
    apis: int = 2
    speed: float = 20.0
    settings: Mapping[str, str] = field(default_factory=dict)
    history: bool = False

    def environment(self) -> dict[str, str]:
        """Nothing of the surroundings' own settings gets in."""
        ours = {"LEASE_SECONDS": f"{LEASE_SECONDS:g}", "SWEEP_SECONDS": f"{SWEEP_SECONDS:g}", "LOG_FORMAT": "json"}
        if not self.history:
            ours["UPSTREAM_HISTORY_URL"] = ""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("WAYSTATION_")}
        return kept | {f"WAYSTATION_{name}": value for name, value in {**ours, **self.settings}.items()}


class Stack:
    """A running stack. Every wait is bounded and raises TimeoutError, saying for what."""

    def __init__(self, plan: Plan, directory: Path) -> None:
        self.plan = plan
        self.data = directory / "data"
        self._ready_file = directory / "ready.json"
        self._output = directory / "up.log"
        self._process: asyncio.subprocess.Process | None = None
        self._paused: set[int] = set()
        self.killed: dict[str, int] = {}

    # Coming and going

    async def start(self) -> None:
        """Return once everything is healthy."""
        plan = self.plan
        command = ["up", "--host", "127.0.0.1", "--port", "0", "--data-dir", str(self.data), "--json"]
        command += ["--ready-file", str(self._ready_file), "--speed", f"{plan.speed:g}"]
        command += ["--workers", str(plan.workers), "--apis", str(plan.apis)]
        with self._output.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "app.cli"),
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=plan.environment(),
            )
        process = self._process
        await until(
            lambda: read_json(self._ready_file) is not None or process.returncode is not None,
            "the stack is up",
            READY_SECONDS,
        )
        assert process.returncode is None, f"the stack did not start: {self.output[-2000:]}"
        await self._endow()

    async def _endow(self) -> None:
        """Credits that no test uses up."""
        database = await Database.open(self.ready["database_url"], name="chaos", writers_max=1, readers_max=1)
        try:
            async with database.transaction() as session:
                tenant = await find_tenant(session, name_or_id=self.ready["tenant"])
                assert tenant is not None
                await grant(session, tenant_id=tenant.id, amount_micro=CREDITS_MICRO, reference="chaos")
        finally:
            await database.close()

    async def stop(self) -> int:
        """End it in order; the exit code. Nothing of it is left behind."""
        process = self._process
        if process is None:
            return 0
        for pid in tuple(self._paused):
            self.resume_pid(pid)
        started = read_json(self._ready_file) is not None
        roles = ("api", "worker", "postgres", "redis") if started else ()
        pids = [pid for role in roles for pid in self.pids(role)]
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            code = await asyncio.wait_for(process.wait(), STOP_SECONDS)
        except TimeoutError:
            process.kill()  # the kernel ends its children with it
            raise AssertionError(f"the stack does not stop: {self.output[-2000:]}") from None
        await until(lambda: not any(is_alive(pid) for pid in pids), "no process is left behind")
        self._process = None
        return code

    async def recover(self) -> None:
        """Undo what a test may have left behind, and wait until all work."""
        for pid in tuple(self._paused):
            self.resume_pid(pid)
        self.killed.clear()
        await self.replaced("redis")
        await self.replaced("api")
        async with self.database() as connection:
            await connection.execute("SELECT 1")
        await until_async(self._simulator_answers, "the simulator answers")
        await self.faults()
        await self.working()

    async def _simulator_answers(self) -> bool:
        async with httpx.AsyncClient(timeout=60) as client:
            try:
                return (await client.get(f"{self.upstream_url}/_simulator/stats")).status_code == 200
            except httpx.TransportError:
                return False

    # What it is

    @property
    def ready(self) -> dict[str, Any]:
        """The ready file as it is now."""
        found = read_json(self._ready_file)
        assert found is not None
        return found

    @property
    def url(self) -> str:
        return str(self.ready["url"])

    @property
    def api_key(self) -> str:
        return str(self.ready["api_key"])

    @property
    def upstream_url(self) -> str:
        return str(self.ready["upstream_url"])

    def pids(self, role: str) -> list[int]:
        """The processes of a role, living or about to be replaced."""
        if role == "simulator":
            pid = signed(self.data / "run" / "simulator-0.lock")
            return [pid] if pid is not None else []
        found = self.ready["pids"][role]
        return found if isinstance(found, list) else [found] if found is not None else []

    def log(self, name: str) -> str:
        """What a process and its replacements wrote, by name such as `worker-0`."""
        try:
            return (self.data / "logs" / f"{name}.log").read_text(errors="replace")
        except FileNotFoundError:
            return ""

    @property
    def output(self) -> str:
        """What `up` itself said."""
        return self._output.read_text(errors="replace")

    def book(self) -> Book:
        """What really happened at the upstream."""
        return Book.read(self.data / "simulator" / "book")

    @asynccontextmanager
    async def database(self) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
        """The owner's connection; waits for a server that is on its way up."""
        url, until_at = self.ready["database_url"], time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                connection = await asyncpg.connect(url, timeout=20)
                break
            except (OSError, TimeoutError, asyncpg.PostgresError):
                if time.monotonic() > until_at:
                    raise
                await asyncio.sleep(0.1)
        try:
            yield connection
        finally:
            await connection.close(timeout=20)

    async def fetch(self, sql: str, *args: object) -> list[asyncpg.Record]:
        """Rows, as the owner."""
        async with self.database() as connection:
            return await connection.fetch(sql, *args)

    async def states(self) -> dict[str, int]:
        """How many jobs are in each state."""
        return {row["state"]: row["n"] for row in await self.fetch("SELECT state, count(*) AS n FROM jobs GROUP BY 1")}

    # Hurting it

    async def faults(self, *rules: dict[str, Any]) -> None:
        """Replace the simulator's fault rules."""
        async with httpx.AsyncClient(timeout=60) as client:
            answer = await client.put(f"{self.upstream_url}/_simulator/faults", json=list(rules))
            assert answer.status_code == 200, answer.text

    def kill(self, role: str, *, chance: random.Random | None = None) -> int | None:
        """kill -9 of one process of the role; its pid, None where it is dead already."""
        living = [pid for pid in self.pids(role) if is_alive(pid)]
        if not living:
            return None
        pid = (chance or random).choice(living)
        self.kill_pid(pid)
        self.killed[role] = self.killed.get(role, 0) + 1
        return pid

    @staticmethod
    def kill_pid(pid: int) -> None:
        """kill -9."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def pause_pid(self, pid: int) -> None:
        """SIGSTOP, until `resume_pid`, or `stop` at the latest."""
        self._paused.add(pid)
        os.kill(pid, signal.SIGSTOP)

    def resume_pid(self, pid: int) -> None:
        """SIGCONT."""
        self._paused.discard(pid)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)

    async def replaced(self, role: str, *dead: int, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until none of these processes is the role's any more, and all of the role's live."""
        await until(
            lambda: not set(dead) & set(self.pids(role)) and all(map(is_alive, self.pids(role))),
            f"{role} {dead} is replaced",
            seconds,
        )

    async def working(self, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until every worker process of now has reported for work."""
        sql = "SELECT count(*) FROM processes WHERE kind = 'worker' AND pid = ANY($1::int[]) AND stopped_at IS NULL"

        async def reported() -> bool:
            return int((await self.fetch(sql, self.pids("worker")))[0][0]) >= self.plan.workers

        await until_async(reported, "every worker reports for work", seconds)


def is_alive(pid: int) -> bool:
    """Whether it runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def until(holds: Callable[[], bool], what: str, seconds: float = PATIENCE_SECONDS) -> None:
    """Wait for a condition."""

    async def ask() -> bool:
        return holds()

    await until_async(ask, what, seconds)


async def until_async(holds: Callable[[], Any], what: str, seconds: float = PATIENCE_SECONDS) -> float:
    """Wait for a condition that is itself asked for; the seconds it took."""
    began_at = time.monotonic()
    while not await holds():
        if time.monotonic() > began_at + seconds:
            raise TimeoutError(f"not within {seconds:g} s: {what}")
        await asyncio.sleep(POLL_SECONDS)
    return time.monotonic() - began_at


@asynccontextmanager
async def running(plan: Plan, directory: Path | None = None) -> AsyncIterator[Stack]:
    """A stack for the length of the block, in a directory that is gone afterwards."""
    directory = directory or Path(tempfile.mkdtemp(prefix="waystation-chaos-"))
    stack = Stack(plan, directory)
    try:
        await stack.start()
        yield stack
    finally:
        try:
            await stack.stop()
        finally:
            if kept := os.environ.get("CHAOS_KEEP"):
                shutil.copytree(stack.data / "logs", Path(kept) / directory.name, dirs_exist_ok=True)
            shutil.rmtree(directory, ignore_errors=True)
