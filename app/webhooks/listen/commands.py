"""`waystation webhook listen`."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from app.core.commands.terminal import DATA_DIR, AsJson, DataDir, say

if TYPE_CHECKING:
    from app.webhooks.listen.receiver import Arrived

webhooks = typer.Typer(help="Receive webhooks on this machine.")


@webhooks.command("listen")
def listen(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0: any free port.")] = 9000,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    secret: Annotated[
        list[str] | None,
        typer.Option(help="whsec_… to verify with; may be repeated. Default: that of the running stack."),
    ] = None,
    as_json: AsJson = False,
    data_dir: DataDir = DATA_DIR,
) -> None:
    """Print and verify the webhooks that arrive, until Ctrl-C. The gateway needs its address in WEBHOOK_ALLOW_NETWORKS."""
    from app.webhooks.listen.receiver import receiving

    secrets = list(secret or [])

    async def run() -> None:
        if not secrets:
            secrets.extend(await _secret_of_stack(data_dir))
        known = "verifying signatures" if secrets else "NOT verifying signatures: give --secret"
        async with receiving(lambda: secrets, lambda one: _show(one, as_json), host=host, port=port) as url:
            say(f"listening at {url}, {known}", value={"url": url, "verifying": bool(secrets)}, as_json=as_json)
            await asyncio.Event().wait()

    try:
        asyncio.run(run())
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


async def _secret_of_stack(data_dir: DataDir) -> list[str]:
    """The secret for jobs' own webhook URLs of the tenant that `waystation up` creates. Empty if no gateway runs there."""
    from app.core.commands.local import find_gateway
    from app.http_client.own_gateway import open_client

    found = find_gateway(data_dir)
    if found is None:
        return []
    url, api_key = found
    client = open_client(seconds=10)
    try:
        answer = await client.get(f"{url}/api/v1/webhook-secret", headers={"x-api-key": api_key})
        return [str(answer.json()["secret"])] if answer.status_code == 200 else []
    finally:
        await client.aclose()


def _show(arrived: "Arrived", as_json: bool) -> None:
    verdict = {True: "verified", False: "NOT VERIFIED", None: "not checked"}[arrived.verified]
    body = arrived.body.decode("utf-8", "replace")
    say(
        f"{verdict}  {arrived.id}  {body}",
        value={"id": arrived.id, "verified": arrived.verified, "body": body},
        as_json=as_json,
    )
