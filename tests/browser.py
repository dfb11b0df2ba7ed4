"""A page in headless Chromium, driven over its DevTools protocol: what it shows, asks for, and complains about."""

import asyncio
import contextlib
import itertools
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.gateway import eventually

NAMES = ("chromium", "chromium-browser", "google-chrome")
SECONDS = 60.0
REFUSALS = ("BlockedByResponseIssue", "ContentSecurityPolicyIssue", "CorsIssue", "MixedContentIssue")
"""Of the issues that Chromium reports: it has refused something that the page asked for."""
SWITCHES = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--remote-debugging-port=0", "about:blank",
)  # fmt: skip


def find_chromium() -> str:
    """The program; where there is none the test is skipped."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("no Chromium is installed (Debian: apt-get install chromium)")
    return found


class Page:
    """One tab. `asked`: the URLs of all requests; `complaints`: errors and warnings of its console and log."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self._socket = socket
        self._session_id: str | None = None
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}

    async def read(self) -> None:
        """Take what the browser says, until cancelled."""
        async for message in self._socket:
            told = message.json()
            if "id" in told:
                self._answers.pop(told["id"]).set_result(told)
            else:
                self._note(told["method"], told["params"])

    def _note(self, method: str, said: dict[str, Any]) -> None:
        if method == "Network.requestWillBeSent":
            self.asked.append(said["request"]["url"])
        elif method == "Log.entryAdded" and said["entry"]["level"] in ("warning", "error"):
            self.complaints.append(said["entry"]["text"])
        elif method == "Runtime.consoleAPICalled" and said["type"] in ("warning", "error"):
            self.complaints.append(str([one.get("value", one.get("description")) for one in said["args"]]))
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(str(said["exceptionDetails"]))
        elif method == "Audits.issueAdded" and said["issue"]["code"] in REFUSALS:
            self.complaints.append(str(said["issue"]))

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol, and its result."""
        number = next(self._numbers)
        self._answers[number] = answered = asyncio.get_running_loop().create_future()
        session = {"sessionId": self._session_id} if self._session_id is not None else {}
        await self._socket.send_json({"id": number, "method": method, "params": parameters, **session})
        async with asyncio.timeout(SECONDS):
            answer = await answered
        assert "error" not in answer, (method, answer)
        result: dict[str, Any] = answer["result"]
        return result

    async def open_tab(self) -> None:
        """Begin to listen to a new, empty tab."""
        target = await self.call("Target.createTarget", url="about:blank")
        attached = await self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session_id = attached["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log", "Audits"):
            await self.call(f"{domain}.enable")

    async def go(self, url: str) -> None:
        """Load a page."""
        await self.call("Page.navigate", url=url)

    async def value(self, script: str) -> Any:
        """The value of a JavaScript expression in the page."""
        answer = await self.call("Runtime.evaluate", expression=script, returnByValue=True)
        return answer["result"].get("value")

    async def until(self, script: str) -> Any:
        """The first truthy value of an expression."""
        return await eventually(lambda: self.value(script), seconds=SECONDS, gap_seconds=0.1)


@contextlib.asynccontextmanager
async def browsing(directory: Path) -> AsyncIterator[Page]:
    """An empty tab of a browser that keeps its files in this folder, and that can resolve no name."""
    process = await asyncio.create_subprocess_exec(
        find_chromium(),
        f"--user-data-dir={directory}",
        *SWITCHES,
        stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        url, rest = await _announced(process)
        async with aiohttp.ClientSession() as client, client.ws_connect(url, max_msg_size=0) as socket:
            page = Page(socket)
            reading = asyncio.create_task(page.read())
            try:
                await page.open_tab()
                yield page
            finally:
                reading.cancel()
                rest.cancel()
                await asyncio.gather(reading, rest, return_exceptions=True)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _announced(process: asyncio.subprocess.Process) -> tuple[str, asyncio.Task[bytes]]:
    """The URL of its protocol, and what goes on reading the rest of its output, so that it never waits for a reader."""
    assert process.stderr is not None
    async with asyncio.timeout(SECONDS):
        while line := (await process.stderr.readline()).decode(errors="replace"):
            _, found, url = line.partition("DevTools listening on ")
            if found:
                return url.strip(), asyncio.create_task(process.stderr.read())
    raise AssertionError("Chromium has ended")
