"""DATABASE_URL against servers as they are met: TLS with an own authority, client certificates, sockets, IPv6, an owner that is
not a superuser, a primary among several."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from app.core.database.connections import SERVICE_ROLE
from app.core.database.db import Database
from app.core.database.migrate import migrate
from app.core.errors import StoreUnavailable, WrongConnection
from app.stack.backups.dumps import Form, create_dump
from app.stack.processes.identity import choose_identity
from app.stack.processes.process import Process, start_process
from app.stack.servers.binaries import PostgresPrograms, find_postgres
from tests.deploy.tools import loopback
from tests.doubles.authority import Authority
from tests.gateway import eventually

PORT = 5432
START_SECONDS = 60.0
OWNER = "owner"
SUPERUSER = "postgres"
BY_CERTIFICATE = "hostssl all by_certificate all cert\n"
HBA = """\
local all all scram-sha-256
host all all all scram-sha-256
host replication all all scram-sha-256
"""


class Server:
    """A Postgres with a directory of its own; `address` is IPv4, and it listens on ::1 and a socket, too."""

    def __init__(self, programs: PostgresPrograms, directory: Path, *, ipv6: bool) -> None:
        self.directory = directory
        self.address = loopback()
        self.password = uuid4().hex
        self._programs = programs
        self._addresses = f"{self.address},::1" if ipv6 else self.address
        self._process: Process | None = None

    def url(self, user: str = SUPERUSER, *, host: str | None = None, query: str = "") -> str:
        at = f"{host or self.address}:{PORT}"
        return f"postgresql://{user}:{self.password}@{at}/postgres{query}"

    def once(self, program: str, *arguments: str) -> None:
        """Run one of Postgres' programs to its end, as the user whom the server runs as."""
        identity = choose_identity(self.directory, self._programs.postgres)
        identity.own(self.directory)
        with (self.directory.parent / "once.log").open("ab") as log:
            process = start_process(
                [str(self._programs.bin / program), *arguments], log=log.fileno(), death_signal=signal.SIGKILL,
                environment=self._environment(), identity=identity,
            )  # fmt: skip
        code = subprocess.Popen.wait(process._popen, START_SECONDS)
        assert code == 0, (self.directory.parent / "once.log").read_text()

    def make(self) -> None:
        """A new cluster."""
        secret = self.directory / "password"
        secret.write_text(self.password)
        self.once("initdb", "-D", str(self.directory / "data"), "-U", SUPERUSER, f"--pwfile={secret}",
                  "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync")  # fmt: skip

    async def start(self, settings: Mapping[str, str] | None = None) -> None:
        given = {
            "listen_addresses": self._addresses, "port": str(PORT), "unix_socket_directories": str(self.directory),
            "fsync": "off", "shared_buffers": "16MB", "max_connections": "30", **(settings or {}),
        }  # fmt: skip
        rules = self.directory / "data/pg_hba.conf"
        rules.write_text(BY_CERTIFICATE + HBA if "ssl" in given else HBA)
        options = [part for name, value in given.items() for part in ("-c", f"{name}={value}")]
        identity = choose_identity(self.directory, self._programs.postgres)
        identity.own(self.directory)
        log = self.directory.parent / f"{self.directory.name}.log"
        with log.open("ab") as output:
            self._process = process = start_process(
                [str(self._programs.postgres), "-D", str(self.directory / "data"), *options], log=output.fileno(),
                death_signal=signal.SIGINT, environment=self._environment(), identity=identity,
            )  # fmt: skip

        async def answers() -> bool:
            assert process.returncode is None, log.read_text()
            try:
                await (await asyncpg.connect(self.url())).close()
            except (OSError, asyncpg.PostgresError):
                return False
            return True

        await eventually(answers, seconds=START_SECONDS)

    async def stop(self) -> None:
        if self._process is not None:
            await self._process.stop([(signal.SIGINT, 10)])

    async def sql(self, *statements: str) -> None:
        connection = await asyncpg.connect(self.url())
        for statement in statements:
            await connection.execute(statement)
        await connection.close()

    def _environment(self) -> dict[str, str]:
        return {"PATH": os.environ["PATH"], "LC_ALL": "C", "PGPASSWORD": self.password}


@contextlib.asynccontextmanager
async def running(programs: PostgresPrograms, directory: Path, settings: Mapping[str, str] | None = None,
                  *, ipv6: bool = False) -> AsyncIterator[Server]:  # fmt: skip
    directory.mkdir(exist_ok=True)
    server = Server(programs, directory, ipv6=ipv6)
    server.make()
    try:
        await server.start(settings)
        yield server
    finally:
        await server.stop()


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


async def assert_works(url: str) -> None:
    """Both kinds of connections can be had, in our role."""
    database = await Database.open(url, name="test", writers_max=1, readers_max=1)
    try:
        await database.prove()
        async with database.snapshot() as reads, database.transaction() as writes:
            assert await reads.fetchval("SELECT current_setting('transaction_read_only')") == "on"
            assert await writes.fetchval("SELECT current_user::text") == SERVICE_ROLE
            assert not await writes.fetchval("SELECT pg_is_in_recovery()")
    finally:
        await database.close()


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    """With an owner as managed Postgres gives it, which has migrated."""
    async with running(find_postgres(), tmp_path_factory.mktemp("postgres") / "one", ipv6=has_ipv6()) as one:
        await one.sql(
            f"CREATE ROLE {OWNER} LOGIN CREATEROLE PASSWORD '{one.password}'", f"GRANT CREATE ON DATABASE postgres TO {OWNER}",
            f"GRANT ALL ON SCHEMA public TO {OWNER}",
        )  # fmt: skip
        await asyncio.to_thread(migrate, one.url(OWNER))
        yield one


async def test_an_owner_that_is_not_superuser(server: Server) -> None:
    await assert_works(server.url(OWNER))
    connection = await asyncpg.connect(server.url(OWNER))
    assert await connection.fetchval("SELECT NOT rolsuper FROM pg_roles WHERE rolname = current_user")
    await connection.close()


async def test_a_socket(server: Server) -> None:
    await assert_works(f"postgresql://{OWNER}:{server.password}@/postgres?host={server.directory}")


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
async def test_ipv6(server: Server) -> None:
    await assert_works(server.url(OWNER, host="[::1]"))


async def test_an_owner_without_createrole_whose_roles_are_there(tmp_path: Path) -> None:
    async with running(find_postgres(), tmp_path / "one") as one:
        await one.sql(
            f"CREATE ROLE {OWNER} LOGIN PASSWORD '{one.password}'", f"GRANT ALL ON SCHEMA public TO {OWNER}",
            f"GRANT CREATE ON DATABASE postgres TO {OWNER}",
            f"CREATE ROLE {SERVICE_ROLE}", "CREATE ROLE waystation_readonly", f"GRANT {SERVICE_ROLE} TO {OWNER}",
        )  # fmt: skip
        await asyncio.to_thread(migrate, one.url(OWNER))
        await assert_works(one.url(OWNER))


async def test_the_primary_among_several(tmp_path: Path) -> None:
    programs = find_postgres()
    standby = Server(programs, tmp_path / "two", ipv6=False)
    standby.directory.mkdir()
    async with running(programs, tmp_path / "one", {"wal_level": "replica"}) as primary:
        await asyncio.to_thread(migrate, primary.url())
        standby.password = primary.password
        standby.once("pg_basebackup", "-d", primary.url().rpartition("/")[0] + "/", "-D", str(standby.directory / "data"), "-R",
                     "-c", "fast", "-X", "stream")  # fmt: skip
        await standby.start()
        try:
            both = f"{standby.address}:{PORT},{primary.address}:{PORT}"
            for wanted in ("read-write", "primary"):
                url = primary.url(host=both.removesuffix(f":{PORT}"), query=f"?target_session_attrs={wanted}")
                await assert_works(url)
            with pytest.raises((WrongConnection, StoreUnavailable)):
                await assert_works(f"{standby.url()}?target_session_attrs=primary")
            # and after a failover the other one
            await primary.stop()
            await standby.sql("SELECT pg_promote()")
            await assert_works(url)
        finally:
            await standby.stop()


def with_tls() -> PostgresPrograms:
    """A Postgres that can do TLS: that of the extra `stack` cannot. Skips the test where there is none."""
    places = [
        *Path("/usr/lib/postgresql").glob("*/bin"),
        *(Path(p).parent for p in filter(None, [shutil.which("postgres")])),
    ]
    for place in places:
        config = place / "pg_config"
        said = subprocess.run([str(place / "postgres"), "--version"], capture_output=True, text=True, check=True).stdout
        if place.parts[:2] == ("/", "usr") or "openssl" in subprocess.getoutput(f"{config} --configure"):
            return PostgresPrograms(place, int(said.split()[2].partition(".")[0]))
    pytest.skip("no Postgres with TLS is installed (Debian: apt-get install postgresql)")


async def test_tls_with_an_own_authority_and_client_certificates(tmp_path: Path) -> None:
    one = Server(with_tls(), tmp_path / "one", ipv6=False)
    one.directory.mkdir()
    elsewhere = loopback()
    authority = Authority.make(tmp_path)
    certificate, key = authority.certify(f"IP:{one.address}")
    ours, our_key = authority.certify("DNS:client", subject="by_certificate")
    files = {"ssl_cert_file": certificate, "ssl_key_file": key, "ssl_ca_file": authority.certificate}
    settings = {"ssl": "on", "listen_addresses": f"{one.address},{elsewhere}"}
    for name, path in files.items():
        settings[name] = str(shutil.copy(path, one.directory / name))
    for private in (one.directory / "ssl_key_file", our_key):
        private.chmod(0o600)
    one.make()
    await one.start(settings)
    try:
        # Debian's release is older than our schema needs: the role alone shows how connections are opened
        await one.sql(f"CREATE ROLE {SERVICE_ROLE}", f"CREATE ROLE by_certificate LOGIN IN ROLE {SERVICE_ROLE}")
        trusting = f"?sslmode=verify-full&sslrootcert={authority.certificate}"
        await assert_works(one.url(query=trusting))
        await assert_works(one.url("by_certificate", query=f"{trusting}&sslcert={ours}&sslkey={our_key}"))
        await one.sql("CREATE TABLE alembic_version AS SELECT '0001' AS version_num")
        # by a pg_dump that knows TLS; the first one there is, of the extra `stack`, does not
        for asked in (trusting, "?sslmode=require", ""):
            dump = await create_dump(one.url(query=asked), tmp_path / "dumps")
            assert dump.form is Form.CUSTOM
        for refused in (
            one.url(host=elsewhere, query=trusting),  # the certificate is not for that address
            one.url(query="?sslmode=verify-full&sslrootcert=system"),
            one.url("by_certificate", query=trusting),
        ):
            with pytest.raises(WrongConnection, match="the database refuses"):
                await assert_works(refused)
    finally:
        await one.stop()
