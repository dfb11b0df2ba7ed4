"""Where a hostile upstream may quote our secrets and balances: rules for the simulator, and texts to plant."""

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

WAYS: dict[str, Callable[[str], str]] = {
    "plain": lambda text: text,
    "escaped": lambda text: "".join(f"\\u{ord(one):04x}" for one in text),
    "percent": lambda text: "".join(f"%{ord(one):02x}" for one in text),
    "base64": lambda text: base64.b64encode(f"user:{text}".encode()).decode(),
    "upper case": str.upper,
    "url": lambda text: f"https://u:{quote(text)}@host/{text}",
}
HOSTILE = "\\u001b[2J\\u001b]0;pwn\\u0007\\u009b31m\\r\\nevents  forged\\u2028\\u202e"
"""As JSON has it: clears a screen, names a window, and forges a line."""


def _rule(match: str, slug: str, status: int, body: str, **more: Any) -> dict[str, Any]:
    text = base64.b64encode(body.encode()).decode()
    return {"match": match, "slug": slug, "fault": "answer", "status": status, "body_base64": text, **more}


def plant(secret: str) -> Iterator[dict[str, Any]]:
    """A rule for each place, each with a model of its own."""
    for number, (way, write) in enumerate(WAYS.items()):
        told, slug = write(secret), f"way-{number}"
        yield _rule("submit", f"{slug}-error", 400, f'{{"error":"invalid api key {told}"}}')
        yield _rule("status", f"{slug}-failed", 422, f'{{"status":"FAILED","error":"key {told} {HOSTILE}"}}')
        completed = f'{{"status":"COMPLETED","output":{{"deep":["{told}",{{"{told}":1e2}}]}},"metrics":{{"cost":0.01,"x":"{told}"}}}}'
        yield _rule("status", f"{slug}-completed", 200, completed)
        yield _rule("result", f"{slug}-completed", 200, completed)
        if way != "escaped":
            yield _rule("submit", f"{slug}-text", 422, f"no such key: {told}", content_type="text/plain")
    yield _rule("submit", "place-html", 400, f"<html>{secret}</html>", content_type="text/html")
    yield _rule("submit", "place-object", 422, json.dumps({"error": {"key": secret, "at": [secret]}}))
    yield _rule("submit", "place-detail", 404, json.dumps({"detail": [{"msg": secret}], "message": secret}))
    yield _rule("submit", "place-forbidden", 403, json.dumps({"error": f"key {secret} may not"}))
    yield _rule("submit", "place-id", 200, json.dumps({"request_id": f"req-{secret}", "status": "QUEUED"}))
    yield _rule("submit", "place-headers", 400, "{}", headers={"x-key": secret, "retry-after": secret})
    yield _rule("submit", "place-trouble", 500, json.dumps({"error": secret}))
    yield {"match": "submit", "slug": "place-redirect", "fault": "redirect", "location": f"http://h/?k={secret}"}
    yield _rule("status", "place-state", 200, json.dumps({"status": secret, "error": secret}), count=2)
    yield _rule("status", "place-poll", 503, json.dumps({"error": secret}), count=2)
    yield _rule("result", "place-fetch", 401, json.dumps({"error": secret}), count=1)
    yield _rule(
        "status", "place-metrics", 422, json.dumps({"status": "FAILED", "error": None, "metrics": {"k": secret}})
    )
    yield {
        "match": "file", "fault": "answer", "status": 200, "body": f"file of {secret}",
        "content_type": f"text/plain; key={secret}", "headers": {"x-key": secret},
    }  # fmt: skip


def balances(amount: str) -> Iterator[dict[str, Any]]:
    """A rule for each way of telling a balance in an error; `max 1024.5 px` is to stay in all of them."""
    whole, _, cents = amount.partition(".")
    grouped = f"{int(whole):,}.{cents}"
    for number, told in enumerate((amount, grouped, grouped.replace(",", " "), whole, f"{whole}.{cents[:2]}")):
        words = json.dumps({"error": f"You have {told} left, max 1024.5 px, 3 credits"})
        yield _rule("submit", f"money-{number}-submit", 400, words)
        yield _rule("status", f"money-{number}-status", 422, words.replace("{", '{"status":"FAILED",', 1))
    yield _rule("submit", "money-object", 400, f'{{"error":{{"left":{amount},"max":1024.5}}}}')
    yield _rule("submit", "money-text", 400, f"left: {amount}, max 1024.5 px", content_type="text/plain")
