"""Every delivery is accepted by the reference libraries of Standard Webhooks in Python and JavaScript, and no forgery is.

The JavaScript one is fetched by npm at the versions that `javascript/package-lock.json` names. Where there is no node,
or npm cannot fetch, its half is skipped with the reason; Python's half runs everywhere.
"""

import asyncio
import base64
import json
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from app.webhooks.models import EventType
from app.webhooks.operations import rotate_secret
from app.webhooks.signing import show_secret
from tests.doubles.receiver import Received, receiving
from tests.factories.callers import Caller
from tests.factories.hooks import Hooks

Verify = Callable[[Sequence[tuple[str, Received]]], list[bool]]
SOURCE = Path(__file__).parent / "javascript"
NUMBER = 40


@pytest.fixture(scope="session")
def javascript(tmp_path_factory: pytest.TempPathFactory) -> Verify:
    """Whether the JavaScript library accepts each of these (secret, delivery)."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("there is no node on this machine")
    directory = tmp_path_factory.mktemp("javascript")
    shutil.copytree(SOURCE, directory, dirs_exist_ok=True)
    fetched = subprocess.run(
        [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=100,
    )
    if fetched.returncode:
        pytest.skip(f"npm cannot fetch the library: {fetched.stderr[-200:]}")

    def verify(asked: Sequence[tuple[str, Received]]) -> list[bool]:
        lines = "\n".join(
            json.dumps({"secret": secret, "headers": one.headers, "body": base64.b64encode(one.body).decode()})
            for secret, one in asked
        )
        told = subprocess.run(
            [node, "verify.js"], cwd=directory, input=lines, capture_output=True, text=True, timeout=60, check=True
        )
        return [line == "true" for line in told.stdout.split()]

    return verify


def python(asked: Sequence[tuple[str, Received]]) -> list[bool]:
    return [one.verified_by(secret) for secret, one in asked]


async def deliveries(hooks: Hooks, caller: Caller) -> tuple[list[str], list[Received]]:
    """The secrets of an endpoint before and after a rotation, and deliveries from before, during and after it."""
    async with receiving() as receiver, hooks.running():
        endpoint_id, first = await hooks.endpoint(caller, receiver.url)
        await hooks.emit(caller, NUMBER)
        await receiver.until(NUMBER)
        async with hooks.database.transaction() as session:
            secret, _ = await rotate_secret(
                session, vault=hooks.vault, tenant_id=caller.tenant.id, endpoint_id=endpoint_id
            )
        await hooks.emit(caller, NUMBER, type_=EventType.JOB_FAILED)
        await receiver.until(2 * NUMBER)
        await asyncio.sleep(2.1)
        await hooks.emit(caller, NUMBER, type_=EventType.JOB_CANCELED)
        received = list(await receiver.until(3 * NUMBER))
        # a day later the old secret signs no more
        await hooks.set("UPDATE webhook_secrets SET expires_at = now() WHERE expires_at IS NOT NULL")
        await asyncio.sleep(2.1)
        await hooks.emit(caller, NUMBER)
        received += (await receiver.until(4 * NUMBER))[3 * NUMBER :]
    return [first, show_secret(secret)], received


def forgeries(one: Received) -> list[Received]:
    """The same with one byte changed: anywhere in the body, in the id, in the timestamp, in the signature."""
    changed = [one.body[:at] + bytes([one.body[at] ^ 1]) + one.body[at + 1 :] for at in range(len(one.body))]
    made = [replace(one, body=body) for body in changed]
    for name in ("webhook-id", "webhook-timestamp", "webhook-signature"):
        value = one.headers[name]
        # the last character of the signature's base64 is padding, and so are two bits of the one before
        last = "A" if value[-2] != "A" else "Q"
        made.append(replace(one, headers={**one.headers, name: value[:-2] + last + value[-1]}))
    return made


@pytest.mark.slow
@pytest.mark.parametrize("library", ["python", "javascript"])
async def test_both_libraries_accept_every_delivery_and_no_forgery(
    hooks: Hooks, caller: Caller, library: str, request: pytest.FixtureRequest
) -> None:
    verify: Verify = python if library == "python" else request.getfixturevalue("javascript")
    (first, second), received = await deliveries(hooks, caller)
    old = [(first, one) for one in received]
    new = [(second, one) for one in received]
    # during the overlap both secrets verify every delivery; what a worker remembers may be two seconds old
    assert verify(old) == [True] * 3 * NUMBER + [False] * NUMBER
    assert verify(new[2 * NUMBER :]) == [True] * 2 * NUMBER
    assert verify(new[:NUMBER]) == [False] * NUMBER
    forged = [(second, one) for one in forgeries(received[-1])]
    assert len(forged) > 100
    assert verify(forged) == [False] * len(forged)
