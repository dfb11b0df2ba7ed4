"""`waystation up` with stand-ins for the other rooms: `run_up.py DIRECTORY PORT APIS WORKERS [no-simulator]`."""

import asyncio
import os
import sys
from pathlib import Path

import asyncpg

from app.core.logs.log import configure_logging
from app.stack.errors import StackError
from app.stack.running.plan import Seams, UpOptions
from app.stack.running.up import run_up
from app.stack_seams import receive_webhooks

directory = Path(sys.argv[1])
os.environ["STANDIN_DIRECTORY"] = str(directory)


def migrate(database_url: str) -> None:
    async def create() -> None:
        connection = await asyncpg.connect(database_url)
        await connection.execute("CREATE TABLE IF NOT EXISTS kept (n bigint PRIMARY KEY)")
        await connection.close()

    asyncio.run(create())


async def ensure_demo_tenant(database_url: str, secret_key: str, stored_key: str | None) -> tuple[str, str]:
    return "demo", stored_key or f"ws_live_demo_{secret_key[:8]}"


async def guard_books(database_url: str, redis_url: str, copied: bool | None) -> None:
    (directory / "guarded").write_text(f"{copied}\n", encoding="utf-8")


async def pause(database_url: str) -> None:
    (directory / "paused").touch()


async def worker_ready(database_url: str, pid: int) -> bool:
    return (directory / f"worker-{pid}").exists()


options = UpOptions(
    port=int(sys.argv[2]),
    apis=int(sys.argv[3]),
    workers=int(sys.argv[4]),
    simulator="no-simulator" not in sys.argv,
    data_dir=directory / "data",
    ready_file=directory / "ready.json",
)
program = (sys.executable, str(Path(__file__).with_name("standin.py")))
configure_logging(format="console", level="INFO")
try:
    sys.exit(
        asyncio.run(
            run_up(
                options, Seams(migrate, ensure_demo_tenant, guard_books, pause, worker_ready, receive_webhooks, program)
            )
        )
    )
except StackError as error:
    sys.exit(f"waystation up: {error}")
