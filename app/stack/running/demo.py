"""`waystation demo`: start a stack, show one job from submit to result, remove all."""

import asyncio
import json
import tempfile
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from app.core import clock
from app.core.commands.terminal import echo
from app.core.config.settings import PREFIX
from app.core.database.db import Database
from app.core.database.sql import SqlFolder
from app.core.escapes import json_text, one_line
from app.http_client.own_gateway import Client, open_client
from app.stack.errors import StackError
from app.stack.processes.signals import interruptible
from app.stack.running.plan import Seams, UpOptions, setting
from app.stack.running.running import RunningStack
from app.stack.running.up import Stack, running

MODEL = "motionctrl-svd"
MEAN_SECONDS = 62.74
"""The model's published mean run time. The progress bar uses it until the job ends."""
PAYLOAD = {
    "input_image": "https://segmind-sd-models.s3.amazonaws.com/display_images/motion-control-svd/motionctrl_ip.png",
    "fps": 7,
    "motion": "CW",
    "motion_bucket_id": 127,
    "cond_aug": 0.02,
    "seed": 985445,
    "decoding_t": 1,
    "maintain_aspect_ratio": True,
    "motion_speed": 1,
    "base64": False,
}
POLL_SECONDS = 0.5
GIVE_UP_SECONDS = 900.0
WEBHOOK_SECONDS = 30.0
RECEIVER_NETWORK = "127.0.0.1/32"

_SQL = SqlFolder(__file__)


class _Event(NamedTuple):
    """A row of ops.job_events. at: a text for display."""

    seq: int
    at: str
    from_status: str | None
    to_status: str
    to_state: str
    reason: str


class _Job(NamedTuple):
    """The columns of ops.jobs that the demo shows."""

    queue_seconds: float | None
    upstream_seconds: float | None
    detection_seconds: float | None
    polls: int
    upstream_cost: Decimal | None
    held: Decimal
    hold_now: Decimal
    charged: Decimal


_EVENTS = _SQL.query("list_job_events", _Event)
_JOB = _SQL.query("find_job", _Job)


async def run_demo(seams: Seams, *, speed: float) -> int:
    """Run the demo. Return the exit code: 0 if the job is COMPLETED. Raises StackError if it cannot run."""
    networks = ",".join(filter(None, (setting("WEBHOOK_ALLOW_NETWORKS"), RECEIVER_NETWORK)))
    with tempfile.TemporaryDirectory(prefix="waystation-demo-") as directory:
        options = UpOptions(
            port=0,
            data_dir=Path(directory) / "data",
            speed=speed,
            environment={f"{PREFIX}WEBHOOK_ALLOW_NETWORKS": networks},
        )
        stack = Stack(options, seams)
        await interruptible(_show(stack, Mailbox(seams), speed), hurry=stack.hurry)
    return 0


class Mailbox:
    """A receiver of webhooks, and what it received: (id, whether the signature is valid, body)."""

    def __init__(self, seams: Seams) -> None:
        self._seams = seams
        self._secrets: list[str] = []
        self._brought: asyncio.Queue[tuple[str, bool, bytes]] = asyncio.Queue()

    def open(self) -> AbstractAsyncContextManager[str]:
        """Run the receiver; yields its URL."""
        return self._seams.receive_webhooks(lambda: self._secrets, self._take)

    def _take(self, id_: str, verified: bool, body: bytes) -> None:
        self._brought.put_nowait((id_, verified, body))

    async def trust(self, client: Client, url: str) -> None:
        """Verify with the secret that the gateway gives us."""
        answer = await client.get(f"{url}/api/v1/webhook-secret")
        self._secrets.append(answer.json()["secret"])

    async def next(self) -> tuple[str, bool, bytes]:
        """Return the next webhook. Raises StackError if none arrives."""
        try:
            async with asyncio.timeout(WEBHOOK_SECONDS):
                return await self._brought.get()
        except TimeoutError:
            raise StackError("no webhook arrived; see the worker's log") from None


async def _show(stack: Stack, mailbox: Mailbox, speed: float) -> None:
    console = Console(highlight=False, soft_wrap=True)
    began_at = clock.monotonic()
    console.print("Starting Postgres, Valkey, the upstream simulator, an API and a worker …")
    async with mailbox.open() as webhook_url, running(stack):
        found = stack.describe()
        console.print(f"Up after {clock.monotonic() - began_at:.1f} s at {found['url']}\n")
        client = open_client(seconds=30)
        client.headers["x-api-key"] = found["api_key"]
        try:
            await mailbox.trust(client, found["url"])
            request_id, result = await _run_job(console, client, found["url"], webhook_url, speed)
            brought = await mailbox.next()
            ledger = (await client.get(f"{found['url']}/api/v1/ledger?job={request_id}")).json()
            balance = (await client.get(f"{found['url']}/api/v1/balance")).json()
        finally:
            await client.aclose()
        _print_result(console, request_id, result)
        _print_webhook(console, *brought)
        _print_ledger(console, request_id, ledger, balance)
        await _print_story(console, found, request_id)
        _print_next(console)


async def _run_job(
    console: Console, client: Client, url: str, webhook_url: str, speed: float
) -> tuple[str, dict[str, Any]]:
    """Submit the payload as any tenant would, and follow it to its end."""
    console.print(f"POST /v2/{MODEL}   the example payload of the model's page")
    answer = await client.post(f"{url}/v2/{MODEL}", json=PAYLOAD, headers={"X-Webhook-Url": webhook_url})
    accepted = answer.json()
    if answer.status_code != 200:
        raise StackError(f"the submit was refused with HTTP {answer.status_code}: {accepted.get('error')}")
    console.print(f"  request_id {one_line(str(accepted['request_id']))}\n", markup=False)
    began_at = clock.monotonic()
    with _progress(console, MEAN_SECONDS / speed) as show:
        while True:
            status = (await client.get(accepted["status_url"])).json()
            show(status["status"], clock.monotonic() - began_at)
            if status["status"] in ("COMPLETED", "FAILED"):
                break
            if clock.monotonic() - began_at > GIVE_UP_SECONDS:
                raise StackError("the job has not ended; see the worker's log")
            await asyncio.sleep(POLL_SECONDS)
    if status["status"] == "FAILED":
        raise StackError(f"the job FAILED: {status['error']}")
    result: dict[str, Any] = (await client.get(accepted["response_url"])).json()
    return accepted["request_id"], result


@contextmanager
def _progress(console: Console, expected_seconds: float) -> Iterator[Any]:
    """Show a bar on a terminal, elsewhere a line for each change of status."""
    if console.is_terminal:
        bar = Progress(TextColumn("{task.description:<11}"), BarColumn(), TimeElapsedColumn(), console=console)
        task = bar.add_task("QUEUED", total=expected_seconds)

        def draw(status: str, seconds: float) -> None:
            status = one_line(status)
            done = expected_seconds if status == "COMPLETED" else min(seconds, expected_seconds * 0.97)
            bar.update(task, description=status, completed=done)

        with bar:
            yield draw
        return
    last = ""

    def tell(status: str, seconds: float) -> None:
        nonlocal last
        if status != last:
            last = status
            echo(f"{seconds:6.1f} s  {one_line(status)}")

    yield tell


def _print_result(console: Console, request_id: str, result: dict[str, Any]) -> None:
    console.print(f"\nGET /v2/requests/{one_line(request_id)}", markup=False)
    console.print(json_text(json.dumps(result, indent=2)), markup=False)


def _print_webhook(console: Console, id_: str, verified: bool, body: bytes) -> None:
    if not verified:
        raise StackError("the webhook's signature is not valid")
    told = json.loads(body)
    console.print(f"\nWebhook {told['type']}, its signature verified by the reference library of Standard Webhooks")
    console.print(f"  webhook-id {id_}   {told['timestamp']}   {len(body)} bytes")


def _print_ledger(console: Console, request_id: str, ledger: dict[str, Any], balance: dict[str, Any]) -> None:
    """Print the job's transfers, oldest first."""
    console.print(f"\nGET /api/v1/ledger?job={one_line(request_id)}", markup=False)
    for line in reversed(ledger["items"]):
        console.print(f"  {line['created_at']}  {line['kind']:<8}{line['amount']:>12}")
    console.print(f"  available now: {balance['available']} credits", markup=False)


async def _print_story(console: Console, found: RunningStack, request_id: str) -> None:
    """Print what an operator sees of the job in SQL."""
    database = await Database.open(found["database_url"], name="demo", writers_max=1, readers_max=1)
    try:
        async with database.snapshot() as session:
            job_id = request_id.removeprefix("job_")
            events = await session.rows(_EVENTS, job_id=job_id)
            job = await session.find_row(_JOB, job_id=job_id)
    finally:
        await database.close()
    console.print("\nSELECT * FROM ops.job_events")
    for event in events:
        console.print(f"  {event.at}  {event.to_status:<11}{event.to_state:<11}{event.reason}")
    if job is not None:
        console.print(
            f"\nSELECT * FROM ops.jobs\n  queued {job.queue_seconds:.2f} s, ran {job.upstream_seconds:.2f} s upstream,"
            f" noticed {job.detection_seconds:.2f} s later with {job.polls} polls; the upstream's cost: {job.upstream_cost};"
            f" held at submit {job.held}, held now {job.hold_now}, charged {job.charged}"
        )


def _print_next(console: Console) -> None:
    console.print(
        "\nThe demo's servers and data are deleted. Next steps:\n"
        "  waystation up             the same, and it stays running; prints URL and keys\n"
        "  <url>/docs                the API reference\n"
        '  SegmindClient(api_key=…, base_url="<url>/v1")   the upstream\'s own SDK, unchanged\n'
        "  README.md                 settings, SQL views, running it for real"
    )
