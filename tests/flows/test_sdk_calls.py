"""Which calls of the official SDK reach the gateway: the table in README.md, held against every public call there is."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.flows.sdk import Sdk
from tests.gateway import Gateway, TenantKey

README = Path(__file__).parents[2] / "README.md"
HERE = "127.0.0.1"
NOWHERE = "nowhere"

EVERY_CALL = r"""
import inspect, json, pathlib, socket, tempfile
import segmind
from segmind import SegmindClient

look_up, reached = socket.getaddrinfo, []

def only_here(host, *args, **kwargs):
    reached.append(host)
    if host != "127.0.0.1":
        raise OSError("no other host is reached from here")
    return look_up(host, *args, **kwargs)

socket.getaddrinfo = only_here
picture = pathlib.Path(tempfile.mkdtemp(), "cat.png")
picture.write_bytes(b"\x89PNG")
VALUES = {
    "slug": "sim-text", "file_paths": picture, "model_name": "m", "request_id": "r", "webhook_url": "https://example.com",
    "event_types": ["PIXELFLOW"], "webhook_id": "w", "name": "n", "data_source_path": "d", "instance_prompt": "i",
    "trigger_word": "t", "base_model": "b", "train_type": "t", "machine_type": "m", "segmind_public": False,
    "cloud_storage_url": "https://example.com/file",
}
MORE = {
    "pixelflows.run": {"workflow_id": "w", "data": {}}, "pixelflows.get_status": {"poll_id": "p"},
    "pixelflows.poll": {"poll_id": "p"},
}

def tried(name, call, client):
    wanted = [p for p in inspect.signature(call).parameters.values() if p.default is p.empty]
    given = {p.name: VALUES[p.name] for p in wanted if p.kind is not p.VAR_KEYWORD}
    if "slug" in given:
        given["prompt"] = "hello"
    given |= MORE.get(name, {})
    asked = []
    client._client.event_hooks = {"request": [lambda one: asked.append([one.url.host, one.headers.get("x-api-key")])]}
    reached.clear()
    try:
        answer = call(**given)
        if hasattr(answer, "wait"):
            answer.wait(timeout=60, interval=0.3)
            answer.status()
            answer.result()
        ended = "answered"
    except Exception as error:
        ended = type(error).__name__
    hosts = sorted({host for host, _ in asked} | set(reached))
    return {"hosts": hosts, "keys": sorted({key for _, key in asked if key}), "ended": ended}

def public(thing):
    return [name for name in dir(thing) if not name.startswith("_")]

client = SegmindClient(base_url=BASE_URL)
told = {}
for name in public(SegmindClient):
    if isinstance(getattr(SegmindClient, name), property):
        space = getattr(client, name)
        for method in public(space):
            if callable(getattr(space, method)):
                told[f"{name}.{method}"] = tried(f"{name}.{method}", getattr(space, method), client)
    else:
        told[name] = tried(name, getattr(client, name), client)
module = segmind._get_client()
for name in segmind.__all__:
    if inspect.isfunction(getattr(segmind, name)) and name != "image_url":
        told[f"segmind.{name}"] = tried(name, getattr(segmind, name), module)
inlined = segmind.image_url(str(picture))["image_url"]["url"]
reply = client.chat("sim-text", messages=[{"role": "user", "content": [segmind.image_url(str(picture))]}]).text
told["image_url"] = {"inlined": inlined, "reply": reply}
print(json.dumps(told))
"""

pytestmark = pytest.mark.slow


def table() -> dict[str, str]:
    """The call or the name space, and the host where README says that it goes."""
    rows = re.search(r"\| SDK call \| goes to \|[^\n]*\n\|[-|]+\n((?:\|[^\n]*\n)+)", README.read_text(encoding="utf-8"))
    assert rows is not None
    found: dict[str, str] = {}
    for row in rows[1].splitlines():
        calls, place, _ = (cell.strip() for cell in row.strip("|").split(" | "))
        host = {"the gateway": HERE, NOWHERE: NOWHERE}.get(place, place.strip("`"))
        found |= {name.partition("(")[0]: host for name in re.findall(r"`([^`]+)`", calls)}
    return found


async def test_each_call_goes_where_the_readme_says(stack: Gateway, sdk: Sdk, tenant: TenantKey) -> None:
    said = table()
    ran = await sdk.run(EVERY_CALL, api_key=tenant.key)
    assert ran.code == 0, ran.output
    told: dict[str, dict[str, Any]] = json.loads(ran.output.splitlines()[-1])
    inlined = told.pop("image_url")
    assert inlined["inlined"].startswith("data:image/png;base64,")
    assert inlined["reply"] == "Simulated answer of sim-text."
    seen: set[str] = set()
    for name, call in told.items():
        if call["ended"] == "AttributeError":  # broken in 1.1.0, before it asks anybody
            assert (name.partition(".")[0], call["hosts"]) == ("pixelflows", [])
            continue
        (host,) = call["hosts"] or [NOWHERE]
        group = "segmind.run" if name.startswith("segmind.") else name.partition(".")[0]
        seen.add(group)
        assert said[group] == host, name
        ended = {HERE: "answered", NOWHERE: "NotImplementedError"}.get(host, "ConnectError")
        assert call["ended"] == ended, (name, call)
        if host != NOWHERE:
            assert call["keys"] == [tenant.key], "also of other hosts: this is why README warns"
    assert set(said) - seen == {"wait", "status", "result"}, "of a job, and tried with submit_async"
