"""A Valkey of a measurement's own, on a socket, that it can kill."""

import os
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

from app.stack.servers.valkey import EmbeddedValkey


@asynccontextmanager
async def own_valkey() -> AsyncIterator[EmbeddedValkey]:
    """One that runs. The caller kills it (`kill`)."""
    with tempfile.TemporaryDirectory(prefix="waystation-bench-") as directory:
        os.chmod(directory, 0o755)  # root's Valkey runs as somebody else
        valkey = EmbeddedValkey(Path(directory) / "valkey", password=uuid4().hex)
        await valkey.start()
        yield valkey


async def kill(valkey: EmbeddedValkey) -> None:
    """Kill it, and wait until it is gone."""
    assert valkey.pid is not None
    os.kill(valkey.pid, signal.SIGKILL)
    await valkey.wait()
