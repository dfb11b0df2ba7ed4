import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import asyncpg
import httpx
import pytest
from redis.asyncio import Redis

from app.stack.files import read_json
from app.stack.running.running import RunningStack, find_running
from tests.gateway import Gateway
from tests.stack.until import alive, until

RUN_UP = str(Path(__file__).with_name("run_up.py"))


class Up:
    """`waystation up`, with stand-ins for our own processes, in a process of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.data = directory / "data"
        self.ready_file = directory / "ready.json"
        self.output = directory / "output"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *arguments: str, apis: int = 1, environment: dict[str, str] | None = None) -> None:
        command = [sys.executable, RUN_UP, str(self.directory), "0", str(apis), "1", *arguments]
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                command, stdout=output, stderr=output, env={**os.environ, **(environment or {})}
            )

    async def healthy(self) -> RunningStack:
        await until(lambda: self.now() is not None or self.code is not None)
        found = self.now()
        assert found is not None, self.output.read_text()
        return found

    def now(self) -> RunningStack | None:
        """The ready file as it is now, None while there is none. One read: it may go away at any moment."""
        return cast(RunningStack | None, read_json(self.ready_file))

    @property
    def code(self) -> int | None:
        assert self.process is not None
        return self.process.poll()

    def send(self, signal_: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(signal_)

    async def stop(self, signal_: signal.Signals = signal.SIGTERM) -> int | None:
        if self.process is not None and self.code is None:
            self.send(signal_)
            await until(lambda: self.code is not None)
        return self.code


@pytest.fixture
async def up(tmp_path: Path) -> AsyncIterator[Up]:
    up = Up(tmp_path)
    yield up
    await up.stop()


def pids(stack: RunningStack) -> list[int]:
    found = stack["pids"]
    servers = (found["postgres"], found["redis"])
    return [*found["api"], *found["worker"], *(pid for pid in servers if pid is not None)]


def place(stack: RunningStack) -> dict[str, Any]:
    """All but the processes."""
    return {name: value for name, value in stack.items() if name != "pids"}


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=60) as answer:
        body: bytes = answer.read()
        return body


@pytest.mark.slow
async def test_it_comes_up_is_found_goes_and_keeps_everything(up: Up) -> None:
    up.start(apis=2)
    first = await up.healthy()
    assert set(first) == {
        *("url", "api_key", "tenant", "admin_key", "database_url", "redis_url", "upstream_url", "pids")
    }
    assert all(alive(pid) for pid in pids(first))
    assert len(first["pids"]["api"]) == 2
    assert get(first["url"] + "/readyz").decode() in {str(pid) for pid in first["pids"]["api"]}
    assert find_running(up.data) == first
    for private in (up.data / "credentials.json", up.data / "stack.json", up.ready_file):
        assert private.stat().st_mode & 0o777 == 0o600
    connection = await asyncpg.connect(first["database_url"])
    await connection.execute("INSERT INTO kept VALUES (42)")
    await connection.close()

    assert await up.stop() == 0
    assert not any(alive(pid) for pid in pids(first))
    assert not up.ready_file.exists()
    assert find_running(up.data) is None

    up.start()
    second = await up.healthy()
    kept = ("api_key", "admin_key", "tenant", "database_url", "redis_url", "upstream_url")
    assert [place(second)[name] for name in kept] == [place(first)[name] for name in kept]
    connection = await asyncpg.connect(second["database_url"])
    assert await connection.fetchval("SELECT n FROM kept") == 42
    await connection.close()
    assert await up.stop(signal.SIGINT) == 0


async def test_people_are_told_what_they_need_and_logs_hold_no_secret(up: Up) -> None:
    up.start()
    stack = await up.healthy()
    await until(lambda: "Ctrl-C" in up.output.read_text())
    said = up.output.read_text()
    assert all(place(stack)[name] in said for name in ("url", "api_key", "admin_key", "tenant"))
    secrets = json.loads((up.data / "credentials.json").read_text())
    await up.stop()
    logs = "".join(path.read_text() for path in (up.data / "logs").iterdir())
    assert len(secrets) == 5
    assert not [name for name, secret in secrets.items() if secret in logs]
    assert secrets["secret_key"] not in said
    assert secrets["database_password"] not in said


async def test_every_page_that_is_named_exists(up: Up, stack: Gateway) -> None:
    up.start()
    found = await up.healthy()
    await until(lambda: "Ctrl-C" in up.output.read_text())
    named = re.findall(re.escape(found["url"]) + r"(/\S+)", up.output.read_text())
    assert "/docs" in named
    async with httpx.AsyncClient(base_url=stack.url, timeout=60) as client:
        assert {path: (await client.get(path)).status_code for path in named} == dict.fromkeys(named, 200)


@pytest.mark.slow
async def test_a_second_one_on_the_same_directory_says_so_and_leaves_the_first_alone(up: Up) -> None:
    up.start()
    stack = await up.healthy()
    command = [sys.executable, RUN_UP, str(up.directory), "0", "1", "1"]
    second = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=200)
    assert second.returncode == 1
    assert second.stderr.count("\n") == 1
    assert "already running on" in second.stderr
    assert up.now() == stack
    assert all(alive(pid) for pid in pids(stack))


async def test_whatever_is_killed_is_replaced_at_the_same_place(up: Up) -> None:
    up.start()
    before = await up.healthy()
    for pid in pids(before):
        os.kill(pid, signal.SIGKILL)
    # No refusal in between: the connection waits for the next API.
    assert (await asyncio.to_thread(get, before["url"] + "/readyz")).decode() != str(before["pids"]["api"][0])
    await until(lambda: (found := up.now()) is not None and not set(pids(before)) & set(pids(found)))
    after = await up.healthy()
    assert place(after) == place(before)
    connection = await asyncpg.connect(after["database_url"])
    assert await connection.fetchval("SELECT count(*) FROM kept") == 0
    await connection.close()
    async with Redis.from_url(after["redis_url"]) as redis:
        assert await redis.ping()
    assert find_running(up.data) == after


async def test_everything_goes_with_a_killed_supervisor_and_the_next_start_is_clean(up: Up) -> None:
    up.start()
    killed = await up.healthy()
    up.send(signal.SIGKILL)
    assert up.process is not None
    up.process.wait()
    assert find_running(up.data) is None
    await until(lambda: not any(alive(pid) for pid in pids(killed)))
    up.start()
    await until(lambda: up.now() not in (None, killed))
    assert (await up.healthy())["database_url"] == killed["database_url"]
    assert "was not properly shut down" not in (up.data / "logs" / "postgres.log").read_text()


async def test_a_start_right_after_a_killed_supervisor_waits_for_what_it_left(up: Up) -> None:
    up.start()
    killed = await up.healthy()
    up.send(signal.SIGKILL)
    assert up.process is not None
    up.process.wait()
    up.ready_file.unlink()
    up.start()
    again = await up.healthy()
    assert not any(alive(pid) for pid in pids(killed))
    assert all(alive(pid) for pid in pids(again))


@pytest.mark.slow
@pytest.mark.parametrize("begun", ["lock", "postgres/data.new/base", "postgres/data", "run"])
async def test_it_can_be_stopped_while_it_starts(up: Up, begun: str) -> None:
    up.start()
    await until((up.data / begun).exists)
    assert await up.stop() == 0
    left = await asyncio.to_thread(
        subprocess.run, ["/bin/ps", "-eo", "args"], capture_output=True, text=True, check=True
    )
    assert str(up.data) not in left.stdout
    up.start()
    assert (await up.healthy())["tenant"] == "demo"


async def test_a_part_that_fails_takes_the_rest_down_and_one_line_says_why(up: Up) -> None:
    up.start(environment={"WAYSTATION_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"})
    await until(lambda: up.code is not None)
    assert up.code == 1
    assert not up.ready_file.exists()
    left = await asyncio.to_thread(
        subprocess.run, ["/bin/ps", "-eo", "args"], capture_output=True, text=True, check=True
    )
    assert str(up.data) not in left.stdout


async def test_what_the_environment_names_is_used_instead(up: Up, database_url: str, redis_url: str) -> None:
    named = {
        "WAYSTATION_DATABASE_URL": database_url,
        "WAYSTATION_REDIS_URL": redis_url,
        "WAYSTATION_UPSTREAM_URL": "http://127.0.0.1:9",
        "WAYSTATION_ADMIN_KEY": "a" * 64,
    }
    up.start(environment=named)
    stack = await up.healthy()
    assert stack["database_url"] == database_url
    assert stack["redis_url"] == redis_url
    assert stack["upstream_url"] == "http://127.0.0.1:9"
    assert stack["admin_key"] == "a" * 64
    assert stack["pids"]["postgres"] is None
    assert stack["pids"]["redis"] is None
    assert not (up.data / "simulator").exists()


@pytest.mark.parametrize(("name", "value"), [("ADMIN_KEY", "a"), ("SECRET_KEY", "a"), ("TRUSTED_PROXIES", "all")])
async def test_a_wrong_setting_is_named_before_anything_starts(up: Up, name: str, value: str) -> None:
    up.start(environment={f"WAYSTATION_{name}": value})
    await until(lambda: up.code is not None)
    assert up.code == 1
    assert f"WAYSTATION_{name}: expected" in up.output.read_text()
    assert not (up.data / "postgres").exists()
