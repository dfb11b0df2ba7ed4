"""APIs and workers of two releases side by side, on one Postgres, one Valkey, one simulator and one listening socket."""

import asyncio
import contextlib
import json
import random
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
from alembic import command
from sqlalchemy.exc import DBAPIError

from app.core.database.migrate import alembic_config, open_engine
from app.core.process.watchdog import EXIT_CODE
from app.simulator.book import Book
from app.stack.servers.postgres import EmbeddedPostgres
from app.stack.servers.valkey import EmbeddedValkey
from tests.chaos.stack import Plan, Stack, until, until_async
from tests.chaos.upgrade.release import Release
from tests.gateway import UPSTREAM_KEY, Process, listening, url_of

SECRET = "a-secret-that-only-tests-know-0123456789"
LOCK_TRIES = 20
"""How often a migration is tried that does not get its lock in time, as under load it may not."""
COMMAND_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Member:
    """One process."""

    kind: str
    release: Release
    process: Process


class Fleet(Stack):
    """A `Stack` whose processes the test starts and ends one by one."""

    def __init__(self, plan: Plan, directory: Path, *, old: Release, new: Release) -> None:
        super().__init__(plan, directory)
        self.directory = directory
        self.old, self.new = old, new
        self.members: list[Member] = []
        self._postgres = EmbeddedPostgres(directory / "postgres", password=uuid4().hex)
        self._valkey = EmbeddedValkey(directory / "valkey", password=uuid4().hex)
        self._listener = listening()
        self._simulator: Process
        self._facts: dict[str, Any] = {}
        self._started = 0

    async def start(self) -> None:
        """Servers, the simulator, the schema of the old release and a tenant; no API and no worker yet."""
        await asyncio.gather(self._postgres.start(), self._valkey.start())
        log = self.directory / "simulator.log"
        speed = ("--speed", f"{self.plan.speed:g}", "--book", str(self.directory / "book"), "--api-key", UPSTREAM_KEY)
        self._simulator = Process("simulator", "--port", "0", *speed, env={}, log=log)
        announced: Callable[[], str] = lambda: log.read_text().partition("listens at ")[2]  # noqa: E731
        await until(lambda: announced().endswith("\n"), "the simulator listens")
        self._facts = {
            "url": url_of(self._listener),
            "database_url": self._postgres.url,
            "redis_url": self._valkey.url,
            "upstream_url": announced().split()[0],
        }
        await self.migrate(self.old)
        limits = ("rate_per_minute=6000000", "burst=100000", "max_in_flight=10000", "max_queued=100000")
        await self.run(self.old, "tenant", "create", "team")
        await self.run(self.old, "tenant", "set", "team", *limits)
        await self.run(self.old, "credits", "grant", "team", "1000000", "--reference", "upgrade")
        issued = json.loads(await self.run(self.old, "key", "create", "team", "--json"))
        self._facts["api_key"] = issued["key"]

    async def stop(self) -> int:
        """End everything, in whatever state it is."""
        for member in self.members:
            member.process.kill()
        self._listener.close()
        with contextlib.suppress(AttributeError):  # it did not come so far
            self._simulator.kill()
        await asyncio.gather(self._postgres.stop(), self._valkey.stop())
        return 0

    @property
    def ready(self) -> dict[str, Any]:
        return self._facts

    def pids(self, role: str) -> list[int]:
        return [member.process.pid for member in self.members if member.kind == role]

    def book(self) -> Book:
        return Book.read(self.directory / "book")

    # Processes

    async def add(self, kind: str, release: Release) -> Member:
        """One more process; return once it has reported for work."""
        self._started += 1
        log = self.directory / f"{self._started:02}-{kind}-{release.name}.log"
        descriptor = self._listener.fileno()
        arguments, descriptors = (("--fd", str(descriptor)), (descriptor,)) if kind == "api" else ((), ())
        environment = self._environment()
        process = Process(kind, *arguments, env=environment, log=log, fds=descriptors, program=release.program)
        member = Member(kind, release, process)
        self.members.append(member)
        sql = "SELECT count(*) FROM processes WHERE kind = $1 AND pid = $2 AND stopped_at IS NULL"

        async def reported() -> bool:
            nonlocal process
            if process.exit_code is not None:
                # its watchdog ends a process that the machine does not let run; whoever supervises it starts it again
                assert process.exit_code == EXIT_CODE, log.read_text()[-2000:]
                process = member.process = Process(
                    kind, *arguments, env=environment, log=log, fds=descriptors, program=release.program
                )
            return bool((await self.fetch(sql, kind, process.pid))[0][0])

        await until_async(reported, f"{kind} of the {release.name} release reports")
        return member

    async def retire(self, member: Member) -> None:
        """SIGTERM; it ends in order."""
        self.members.remove(member)
        code = await member.process.stop()
        assert code == 0, (
            f"{member.kind} of the {member.release.name} release: {code}: {member.process.log.read_text()[-2000:]}"
        )

    async def replace(self, kind: str, release: Release) -> None:
        """Every process of a kind by one of this release, one after the other; the new one is there first."""
        for member in [one for one in self.members if one.kind == kind and one.release is not release]:
            await self.add(kind, release)
            await self.retire(member)

    async def crash(self, kind: str, chance: random.Random) -> None:
        """kill -9 of one process, and another of its release."""
        member = chance.choice([one for one in self.members if one.kind == kind])
        self.members.remove(member)
        member.process.kill()
        self.killed[kind] = self.killed.get(kind, 0) + 1
        await self.add(kind, member.release)

    def releases(self) -> set[str]:
        """Of whose processes there are some."""
        return {member.release.name for member in self.members}

    async def readiness(self) -> dict[str, Any]:
        """What some API says of itself."""
        async with httpx.AsyncClient(timeout=60) as client:
            body: dict[str, Any] = (await client.get(f"{self.url}/readyz")).json()
            return body

    # The schema

    async def migrate(self, release: Release) -> None:
        """`waystation migrate` of a release, again where a lock does not come in time."""
        for tried in range(LOCK_TRIES):
            try:
                await self.run(release, "migrate")
            except AssertionError as error:
                if "lock timeout" not in str(error) or tried + 1 == LOCK_TRIES:
                    raise
            else:
                return

    async def migrate_down(self, revision: str) -> None:
        """Back to a revision."""
        for tried in range(LOCK_TRIES):
            engine = open_engine(self.ready["database_url"])
            try:
                async with engine.connect() as connection:
                    await connection.run_sync(lambda sync: command.downgrade(alembic_config(sync), revision))
            except DBAPIError as error:
                if "lock timeout" not in str(error) or tried + 1 == LOCK_TRIES:
                    raise
            else:
                return
            finally:
                await engine.dispose()

    async def expand(self, *, undo: bool = False) -> int:
        """Give every table of ours one more column, or take it away again, as migrations to come may do; the number."""
        tables = await self.fetch(
            "SELECT format('%I', relname) AS name FROM pg_class WHERE relkind IN ('r', 'p') AND NOT relispartition"
            " AND relnamespace = 'public'::regnamespace ORDER BY relname"
        )
        change = "DROP COLUMN upgrade_trial" if undo else "ADD COLUMN upgrade_trial text NOT NULL DEFAULT ''"
        for table in tables:
            await self._alter(f"ALTER TABLE {table['name']} {change}")
        return len(tables)

    async def _alter(self, sql: str) -> None:
        for tried in range(LOCK_TRIES):
            try:
                async with self.database() as connection, connection.transaction():
                    await connection.execute("SET LOCAL lock_timeout = '5s'")
                    await connection.execute(sql)
            except asyncpg.LockNotAvailableError:
                if tried + 1 == LOCK_TRIES:
                    raise
            else:
                return

    # Commands

    def _environment(self) -> dict[str, str]:
        settings = {
            "DATABASE_URL": self.ready["database_url"],
            "REDIS_URL": self.ready["redis_url"],
            "UPSTREAM_URL": self.ready["upstream_url"],
            "UPSTREAM_HISTORY_URL": self.ready["upstream_url"],
            "UPSTREAM_API_KEY": UPSTREAM_KEY,
            "PUBLIC_URL": self.ready["url"],
            "SECRET_KEY": SECRET,
            "UNPRICED_MODELS": "pass",
        }
        wanted = {name: value for name, value in self.plan.environment().items() if name.startswith("WAYSTATION_")}
        return {f"WAYSTATION_{name}": value for name, value in settings.items()} | wanted

    async def run(self, release: Release, *arguments: str) -> str:
        """One command of a release to its end; what it printed. Raises AssertionError where it fails."""
        plain = {name: value for name, value in self.plan.environment().items() if not name.startswith("WAYSTATION_")}
        ran = await asyncio.to_thread(
            subprocess.run,
            [*release.program, *arguments],
            env={**plain, **self._environment()},
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        assert ran.returncode == 0, f"{arguments} of the {release.name} release: {ran.returncode}: {ran.stderr}"
        return str(ran.stdout)


@asynccontextmanager
async def fleet_of(plan: Plan, *, old: Release, new: Release, keep: str | None = None) -> AsyncIterator[Fleet]:
    """A fleet for the length of the block; its logs go to the directory `keep`."""
    directory = Path(tempfile.mkdtemp(prefix="waystation-upgrade-"))
    fleet = Fleet(plan, directory, old=old, new=new)
    try:
        await fleet.start()
        yield fleet
    finally:
        try:
            await fleet.stop()
        finally:
            if keep:
                Path(keep).mkdir(parents=True, exist_ok=True)
                for log in directory.glob("*.log"):
                    shutil.copy(log, keep)
            shutil.rmtree(directory, ignore_errors=True)
