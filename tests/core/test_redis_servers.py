"""Each form of REDIS_URL against real servers, of each kind that is installed: rings, messages, limits and arq."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from arq.worker import Worker, async_check_health, func
from redis.asyncio import Redis

from app.core.redis.arq_redis import QUEUE, arq_pool, arq_settings, deserialized, serialized
from app.core.redis.doorbell import Doorbell
from app.core.redis.redis_pool import open_redis
from app.core.redis.redis_url import checked_redis_url, parse_redis_url
from app.core.redis.subscription import UNAVAILABLE_ERRORS
from app.limits.rates import RateLimiter
from app.stack.processes.process import Process
from tests.doubles.authority import Authority
from tests.doubles.redis_server import PORT, PROGRAMS, SENTINEL_PORT, TLS_PORT, find_server, redis_server
from tests.gateway import eventually
from tests.limits.test_rates import bucket

pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated close:DeprecationWarning")  # arq's `--check` does

PASSWORD, ENCODED = "a p@ss/word,1", "a%20p%40ss%2Fword%2C1"
WITH_PASSWORD = (f'requirepass "{PASSWORD}"', f'masterauth "{PASSWORD}"')
LOGIN = {"password": PASSWORD}


@pytest.fixture(params=PROGRAMS)
def program(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return find_server(name)


class User:
    """Uses Redis in each way in which our processes do."""

    def __init__(self, url: str) -> None:
        self.url = checked_redis_url(url)
        self.doorbell = Doorbell(url)
        self.rates = RateLimiter(url)
        self.heard: list[UUID] = []
        self.followed: list[str] = []
        self._listening = [
            asyncio.create_task(self.doorbell.listen(self.heard.extend)),
            asyncio.create_task(
                self.doorbell.listen_rings(
                    woken=lambda: None,
                    rung=self.followed.append,
                    has_room=lambda _task: True,
                    connected=lambda _connected: None,
                )
            ),
        ]

    async def close(self) -> None:
        for task in self._listening:
            task.cancel()
        await asyncio.gather(*self._listening, return_exceptions=True)
        await self.doorbell.close()
        await self.rates.close()

    async def works(self) -> bool:
        """Whether a message comes through, a ring reaches who listens and arq, and limits are counted in Redis."""
        job_id = uuid4()
        self.followed.clear()
        self.doorbell.announce([job_id], due=False)
        self.doorbell.ring("dispatch")
        await self.rates.take([bucket()])
        await asyncio.sleep(0.05)
        heard = job_id in self.heard and bool(self.followed) and not self.rates.away
        return await self.doorbell.reachable() and heard and await self._rung()

    async def _rung(self) -> bool:
        rung: list[str] = []

        async def task(_context: object) -> None:
            rung.append("dispatch")

        pool = arq_pool(self.url)
        worker = Worker(
            functions=[func(task, name="dispatch", keep_result=0)],
            queue_name=QUEUE,
            redis_pool=pool,
            burst=True,
            handle_signals=False,
            job_serializer=serialized,
            job_deserializer=deserialized,
        )
        try:
            await worker.async_run()
            if parse_redis_url(self.url).sentinel is None:  # whose password arq cannot be told
                return await async_check_health(arq_settings(self.url), queue_name=QUEUE) == 0 and bool(rung)
        except UNAVAILABLE_ERRORS:  # as in a failover
            return False
        finally:
            await pool.aclose(close_connection_pool=True)
        return bool(rung)


@contextlib.asynccontextmanager
async def using(url: str) -> AsyncIterator[User]:
    user = User(url)
    try:
        await eventually(user.works)
        yield user
    finally:
        await user.close()


async def test_one_server_and_a_password(program: str, tmp_path: Path) -> None:
    async with (
        redis_server(program, tmp_path / "one", *WITH_PASSWORD, login=LOGIN) as (address, _),
        using(f"redis://:{ENCODED}@{address}:{PORT}/3") as user,
    ):
        assert await user.doorbell.reachable()


async def test_a_user_of_its_own(program: str, tmp_path: Path) -> None:
    acl = 'user ours on ">secret-of-ours" ~* &* +@all'
    async with (
        redis_server(program, tmp_path / "one", acl) as (address, _),
        using(f"redis://ours:secret-of-ours@{address}:{PORT}") as user,
    ):
        assert await user.doorbell.reachable()


@contextlib.asynccontextmanager
async def replicated(program: str, directory: Path) -> AsyncIterator[list[tuple[str, Process]]]:
    """A server that takes writes, and one that copies it."""
    async with redis_server(program, directory / "first", *WITH_PASSWORD, login=LOGIN) as first:
        lines = (*WITH_PASSWORD, f"replicaof {first[0]} {PORT}")
        async with redis_server(program, directory / "second", *lines, login=LOGIN) as second:
            async with Redis(host=second[0], port=PORT, **LOGIN) as replica:

                async def copied() -> bool:
                    return (await replica.info("replication"))["master_link_status"] == "up"

                await eventually(copied)
            yield [first, second]


@pytest.mark.slow
async def test_the_one_of_several_that_takes_writes(program: str, tmp_path: Path) -> None:
    async with (
        replicated(program, tmp_path) as [(first, process), (second, _)],
        using(f"redis://:{ENCODED}@{second}:{PORT}/0,redis://:{ENCODED}@{first}:{PORT}/0") as user,
    ):
        async with Redis(host=second, port=PORT, **LOGIN) as replica:
            assert (await replica.info("replication"))["role"] == "slave"
            await replica.execute_command("REPLICAOF", "NO", "ONE")
        async with Redis(host=first, port=PORT, **LOGIN) as demoted:
            await demoted.execute_command("REPLICAOF", second, str(PORT))
        await eventually(user.works)
        await process.stop([(signal.SIGKILL, 10)])
        await eventually(user.works)


@pytest.mark.slow
async def test_sentinels_tell_which_one(program: str, tmp_path: Path) -> None:
    async with replicated(program, tmp_path) as [(first, process), (second, _)], contextlib.AsyncExitStack() as stack:
        lines = (
            f"sentinel monitor mymaster {first} {PORT} 2",
            f'sentinel auth-pass mymaster "{PASSWORD}"',
            "sentinel down-after-milliseconds mymaster 1000",
            "sentinel failover-timeout mymaster 5000",
            'requirepass "sentinels-own"',
            'sentinel sentinel-pass "sentinels-own"',
        )
        sentinels = [
            await stack.enter_async_context(
                redis_server(
                    program, tmp_path / f"sentinel{n}", *lines, sentinel=True, login={"password": "sentinels-own"}
                )
            )
            for n in range(3)
        ]
        hosts = ",".join(f"{address}:{SENTINEL_PORT}" for address, _ in sentinels)
        url = f"redis+sentinel://:{ENCODED}@{hosts}/mymaster/2?sentinel_password=sentinels-own"

        async def know_each_other() -> bool:
            async with Redis(host=sentinels[0][0], port=SENTINEL_PORT, password="sentinels-own") as sentinel:
                master = (await sentinel.sentinel_masters())["mymaster"]
                return master["num-other-sentinels"] == 2 and master["num-slaves"] == 1

        await eventually(know_each_other)
        async with using(url) as user:
            # the first Sentinel goes with the master
            await sentinels[0][1].stop([(signal.SIGKILL, 10)])
            await process.stop([(signal.SIGKILL, 10)])
            await eventually(user.works)
            async with open_redis(url) as redis:
                assert (await redis.info("server"))["tcp_port"] == PORT
                assert (await redis.info("replication"))["role"] == "master"
            async with Redis(host=second, port=PORT, **LOGIN) as promoted:
                assert (await promoted.info("replication"))["role"] == "master"


@pytest.mark.parametrize("program", PROGRAMS[1:], indirect=True)  # Valkey of the extra is built without TLS
async def test_tls(program: str, tmp_path: Path) -> None:
    authority = Authority.make(tmp_path)
    certificate, key = authority.certify("DNS:localhost,DNS:cache.test,IP:127.0.0.1")
    lines = (
        f"tls-port {TLS_PORT}",
        f"tls-cert-file {certificate}",
        f"tls-key-file {key}",
        f"tls-ca-cert-file {authority.certificate}",
        "tls-auth-clients yes",
    )
    ours, our_key = authority.certify("DNS:client", subject="client")
    async with redis_server(program, tmp_path / "one", *lines) as (address, _):
        asked = f"ssl_ca_certs={authority.certificate}&ssl_certfile={ours}&ssl_keyfile={our_key}"
        url = f"rediss://{address}:{TLS_PORT}/0"
        # the certificate is not for that address
        async with using(f"{url}?{asked}&ssl_check_hostname=false") as user:
            assert await user.doorbell.reachable()
        for refused in (
            f"{url}?{asked}",
            f"{url}?ssl_check_hostname=false&ssl_ca_certs={authority.certificate}",
            f"{url}?ssl_check_hostname=false&ssl_certfile={ours}&ssl_keyfile={our_key}",
        ):
            doorbell = Doorbell(refused)
            assert not await doorbell.reachable()
            await doorbell.close()
