"""The services of docker-compose.yml as plain processes: their commands, environments, secrets, users and health checks.

What containers would give them is put in its place: a loopback address for each name of the network, a directory for
/run/secrets, and for the read-only file system a user who may read everything and write only to a directory of its own.
"""

import asyncio
import json
import os
import secrets
import shutil
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.stack.processes.identity import CAP_DAC_READ_SEARCH, OURSELVES, Identity, choose_identity
from app.stack.processes.process import Process, start_process
from app.stack.servers.binaries import find_postgres, find_valkey
from tests.deploy.tools import DEPLOY, copy_nginx_files, find_nginx, loopback, run, tool
from tests.gateway import eventually

PATIENCE_SECONDS = 120.0
PORTS = {"postgres": 5432, "valkey": 6379, "api": 8080, "simulator": 8090, "proxy": 8080}


@dataclass
class Replica:
    """One process of a service."""

    service: str
    number: int
    address: str
    directory: Path
    process: Process | None = field(default=None, repr=False)

    @property
    def log(self) -> Path:
        return self.directory / "log"


class Composed:
    """All services; `up` starts them in the order of their dependencies, `down` stops them the other way round."""

    def __init__(self, directory: Path, **environment: str) -> None:
        read = run(tool("docker-compose"), "--profile", "simulator", "config", "--format", "json", **environment)
        assert read.returncode == 0, read.stderr
        self.services: dict[str, Any] = json.loads(read.stdout)["services"]
        self.directory = directory
        self.directory.chmod(0o711)
        network = loopback().rpartition(".")[0]
        self.replicas: list[Replica] = []
        for name, service in self.services.items():
            for number in range(service["deploy"].get("replicas", 1)):
                address = f"{network}.{len(self.replicas) + 201}"
                self.replicas.append(Replica(name, number, address, directory / f"{name}-{number}"))
        self.secrets = directory / "secrets"

    def address(self, service: str) -> str:
        """Of its first process."""
        return self.of(service)[0].address

    def of(self, service: str) -> list[Replica]:
        return [replica for replica in self.replicas if replica.service == service]

    @property
    def url(self) -> str:
        """Where clients come in."""
        return f"http://{self.address('proxy')}:{PORTS['proxy']}"

    async def up(self) -> None:
        made = run("sh", str(DEPLOY / "secrets.sh"), str(self.secrets))
        assert made.returncode == 0, made.stderr
        for path in self.secrets.iterdir():
            path.chmod(0o600)
            path.write_text(self._placed(path.read_text()))
            path.chmod(0o444)
        self.secrets.chmod(0o755)  # containers see the files, not the directory above them
        started: set[str] = set()
        while waiting := [name for name in self.services if name not in started]:
            ready = [name for name in waiting if set(self.services[name].get("depends_on") or ()) <= started]
            assert ready, waiting
            for name in sorted(ready):
                await asyncio.gather(*(self._start(replica) for replica in self.of(name)))
            started |= set(ready)

    async def down(self) -> dict[str, list[int]]:
        """Their exit codes, by service."""
        codes: dict[str, list[int]] = {}
        for name in ("proxy", "api", "worker", "simulator", "valkey", "postgres"):
            for replica in self.of(name):
                codes.setdefault(name, []).append(await self.stop(replica))
        return codes

    async def stop(self, replica: Replica) -> int:
        """As `docker compose stop`: its stop signal, and then its grace; -9 where that was not enough."""
        service = self.services[replica.service]
        number = signal.Signals[service.get("stop_signal", "SIGINT" if replica.service == "postgres" else "SIGTERM")]
        seconds = PATIENCE_SECONDS if "stop_grace_period" not in service else 40.0
        return await replica.process.stop([(number, seconds)]) if replica.process is not None else 0

    async def execute(self, replica: Replica, *arguments: str) -> str:
        """As `docker compose exec`: what a command prints beside a running service; it must end well."""
        path = replica.directory / f"exec-{secrets.token_hex(4)}"
        assert await self._launch(replica, [*self._program(), *arguments], path).wait() == 0, path.read_text()
        return path.read_text()

    async def _start(self, replica: Replica) -> None:
        service = self.services[replica.service]
        replica.directory.mkdir()
        self._own(replica)
        if replica.service == "postgres":
            await self._initialise(replica)
        replica.process = self._launch(replica, self._command(replica, service), replica.log)
        if replica.service == "migrate":
            assert await replica.process.wait() == 0, replica.log.read_text()
        elif not service["healthcheck"].get("disable", False):
            await eventually(lambda: self._healthy(replica), seconds=PATIENCE_SECONDS, gap_seconds=0.5)

    async def _healthy(self, replica: Replica) -> bool:
        process = replica.process
        assert process is not None
        assert process.returncode is None, replica.log.read_text()
        _, program, *arguments = self.services[replica.service]["healthcheck"]["test"]
        programs = {"python": sys.executable, "pg_isready": str(find_postgres().bin / "pg_isready")}
        found = programs.get(program) or shutil.which(program)
        if found is None:  # valkey-cli, which comes with the image
            return await self._connects(replica)
        arguments = [one.replace("127.0.0.1", replica.address) for one in arguments]
        return await self._launch(replica, [found, *arguments], replica.directory / "health").wait() == 0

    async def _connects(self, replica: Replica) -> bool:
        try:
            (await asyncio.to_thread(socket.create_connection, (replica.address, PORTS[replica.service]), 4)).close()
        except OSError:
            return False
        return True

    def _command(self, replica: Replica, service: Mapping[str, Any]) -> list[str]:
        given = [*(service.get("entrypoint") or []), *(service.get("command") or [])]
        arguments = [one.replace("0.0.0.0", replica.address) for one in given]
        if replica.service == "postgres":
            socket_directory = ["-k", str(replica.directory)]
            listen = ["-h", replica.address, "-D", str(replica.directory / "data")]
            return [str(find_postgres().postgres), *arguments[1:], *listen, *socket_directory]
        if replica.service == "valkey":
            conf = replica.directory / "valkey.conf"
            conf.write_text(self._placed((DEPLOY / "valkey/valkey.conf").read_text()))
            return [str(find_valkey()), str(conf), *arguments[2:], "--dir", str(replica.directory)]
        if replica.service == "proxy":
            apis = "".join(f"server {api.address}:8080 max_fails=0;" for api in self.of("api"))
            copy_nginx_files(
                replica.directory,
                {"server api:8080 resolve max_fails=0;": apis, "listen 8080": f"listen {replica.address}:8080"},
            )
            return [find_nginx(), "-c", str(replica.directory / "nginx.conf")]
        return [*self._program(), *(one.replace("/tmp/", f"{replica.directory}/") for one in arguments)]

    async def _initialise(self, replica: Replica) -> None:
        """What the image's entrypoint does on an empty volume."""
        environment = self.services["postgres"]["environment"]
        command = [
            str(find_postgres().initdb), "-D", str(replica.directory / "data"), "-U", environment["POSTGRES_USER"],
            "-A", "scram-sha-256", f"--pwfile={self._placed(environment['POSTGRES_PASSWORD_FILE'])}", "--no-sync",
        ]  # fmt: skip
        assert await self._launch(replica, command, replica.log).wait() == 0, replica.log.read_text()
        hba = replica.directory / "data/pg_hba.conf"
        hba.write_text(hba.read_text() + "host all all all scram-sha-256\n")
        single = [str(find_postgres().postgres), "--single", "-D", str(replica.directory / "data"), "postgres"]
        said = replica.directory / "create"
        said.write_text(f"CREATE DATABASE {environment['POSTGRES_DB']}\n")
        with said.open("rb") as file:
            assert await self._launch(replica, single, replica.log, stdin=file.fileno()).wait() == 0

    def _launch(self, replica: Replica, command: Sequence[str], log: Path, *, stdin: int = -3) -> Process:
        with log.open("ab") as output:
            return start_process(
                command,
                stdin=stdin,
                log=output.fileno(),
                death_signal=signal.SIGKILL,
                environment=self._environment(replica),
                identity=self._identity(replica),
                directory=Path("/"),
            )

    def _identity(self, replica: Replica) -> Identity:
        if os.geteuid() != 0:
            return OURSELVES
        if replica.service == "postgres":  # initdb wants one with an account
            return choose_identity(replica.directory, find_postgres().postgres)
        uid, gid = map(int, self.services[replica.service]["user"].split(":"))
        return Identity(uid, gid, CAP_DAC_READ_SEARCH)

    def _own(self, replica: Replica) -> None:
        identity = self._identity(replica)
        if identity.uid >= 0:
            os.chown(replica.directory, identity.uid, identity.gid)

    def _environment(self, replica: Replica) -> dict[str, str]:
        given = self.services[replica.service].get("environment") or {}
        return {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "PYTHONDONTWRITEBYTECODE": "1",
            "TMPDIR": str(replica.directory),
            **{name: self._placed(value) for name, value in given.items() if value is not None},
        }

    def _placed(self, text: str) -> str:
        """With the addresses and the directory that stand for the network and for /run/secrets."""
        for name in PORTS:
            text = text.replace(f"@{name}:", f"@{self.address(name)}:").replace(
                f"//{name}:", f"//{self.address(name)}:"
            )
        # on one machine the proxy calls from 127.0.0.1, whatever address it listens on
        return text.replace("/run/secrets", str(self.secrets)).replace("172.30.77.0/24", "127.0.0.1/32")

    @staticmethod
    def _program() -> list[str]:
        """The image's entrypoint."""
        return [sys.executable, "-m", "app.cli"]
