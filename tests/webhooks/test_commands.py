"""`waystation webhook listen` and `waystation reencrypt`, as processes."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import uuid4

import httpx
import pytest

from app.webhooks.secrets import Vault, new_secret
from app.webhooks.signing import show_secret, signed_headers
from tests.command import ROOT
from tests.factories.callers import SECRET, Caller
from tests.factories.hooks import Hooks
from tests.test_cli import fails, shown

NEW = "n" * 32


async def test_reencrypt(hooks: Hooks, caller: Caller, url: str) -> None:
    endpoint_id, _ = await hooks.endpoint(caller, "https://example.com/")
    await hooks.tenant_secret(caller)
    old = SECRET.decode()
    told = await asyncio.to_thread(shown, "reencrypt", DATABASE_URL=url, SECRET_KEY=f"{NEW},{old}")
    assert told == {"secrets": 2, "moved": 2, "original_errors": 0, "moved_original_errors": 0}
    [row] = await hooks.rows("SELECT id, sealed FROM webhook_secrets WHERE endpoint_id = $1", endpoint_id)
    assert len(Vault([NEW.encode()]).open(row["id"], row["sealed"])) == 32
    line = await asyncio.to_thread(fails, "reencrypt", DATABASE_URL=url, SECRET_KEY=old)
    assert "SECRET_KEY" in line
    assert "webhook secret" in line
    assert "which is unchanged" in line


@pytest.fixture
async def listener() -> AsyncIterator[tuple[asyncio.subprocess.Process, str, bytes]]:
    """A listening process, its URL, and the secret it verifies with."""
    secret = new_secret()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "app.cli", "webhook", "listen", "--port", "0", "--secret", show_secret(secret),
        cwd=ROOT, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    first = (await process.stdout.readline()).decode()
    yield process, first.split()[2].rstrip(","), secret
    process.terminate()
    await process.wait()


async def test_listen_verifies_what_arrives(listener: tuple[asyncio.subprocess.Process, str, bytes]) -> None:
    process, url, secret = listener
    assert process.stdout is not None
    body = json.dumps({"type": "webhook.test"}).encode()
    headers = signed_headers(event_id=uuid4(), at=datetime.now(UTC), body=body, secrets=[secret])
    async with httpx.AsyncClient(timeout=60) as client:
        assert (await client.post(url, content=body, headers=headers)).status_code == 204
        line = (await process.stdout.readline()).decode()
        assert line.startswith(f"verified  {headers['webhook-id']}")
        assert (await client.post(url, content=body + b" ", headers=headers)).status_code == 401
        assert (await process.stdout.readline()).startswith(b"NOT VERIFIED")
        assert (await client.get(url)).status_code == 405
