"""Results: the upstream's body value for value, but for `request_id` and the company's balance."""

import json
import random
from typing import Any

import httpx
import pytest

from tests.gateway import Gateway, ended
from tests.segmind.conftest import Final, Submit

ECHOES = {
    "big integers": b"[123456789012345678901234567890,-9007199254740993,0,-0]",
    "floats": b"[1e-400,1e999,-1E+999,0.1,0.10000000000000000001,1.0,1e2,5e-324,-0.0]",
    "strings": b'["\\u0000","\\ud800","\\udfff\\ud800","\\ud83d\\ude00","\\/","\\u00e9","\\b\\f\\n\\r\\t\\"\\\\"]',
    "raw unicode": '["é漢😀\u2028\u2029\x7f","\ufeff"]'.encode(),
    "order of keys": b'{"z":1,"a":{"y":2,"b":3},"10":4,"9":5,"":6}',
    "whitespace": b'{ "a" :\n\t[ 1 ,\r\n 2 ]  }',
    "deep": b"[" * 55 + b"1" + b"]" * 55,
    "a string of a megabyte": b'"' + b"x\\u00e9" * 150_000 + b'"',
    "names of ours": b'{"request_id":"inner","metrics":{"remaining_credits":5,"cost":1},"status":"FAILED","error":"no"}',
    "null": b"null",
    "true": b"true",
    "a number": b"1E5",
    "empty": b"{}",
    "json in a string": b'"{\\"a\\":1e999,\\"b\\":\\"\\\\ud800\\"}"',
}


def output_of(body: bytes) -> bytes:
    """The raw text of the member `output`; `echo` has no `output` inside."""
    _, _, rest = body.partition(b'"output":')
    return rest[: rest.rindex(b',"metrics":')]


@pytest.mark.parametrize("name", ECHOES)
async def test_what_the_upstream_said_is_what_is_shown(submit: Submit, client: httpx.AsyncClient, name: str) -> None:
    echo = ECHOES[name]
    shown = await submit("sim-echo", b'{"echo":' + echo + b"}")
    job = await client.get(f"/api/v1/jobs/{shown}?wait=30")
    assert b'"status":"COMPLETED"' in job.content
    result = await client.get(f"/v2/requests/{shown}")
    assert result.status_code == 200
    assert output_of(result.content) == echo
    assert (await client.get(f"/v1/requests/{shown}")).content == result.content
    native = job.content[job.content.rindex(b',"output":') + len(b',"output":') :].removesuffix(b"}")
    if len(echo) <= 1_000_000:
        assert native == echo
    else:
        assert json.loads(native)["size_bytes"] == len(echo)
    assert b'"input":{"echo":' + echo + b"}" in job.content


BODIES = {
    "twin members": b'{"status":"COMPLETED","output":1,"output":2,"request_id":"%s","request_id":"%s","metrics":{}}',
    "the balance in every place": (
        b'{"metrics":{"cost":0.05,"remaining_credits":98765.4321,"remaining\\u005fcredits":98765.4321,"x":1},'
        b'"status":"COMPLETED","output":null,"metrics":{"remaining_credits":98765.4321}}'
    ),
    "no request id": b'{"status":"COMPLETED","output":"x"}',
    "spaced": b'\n{ "status" : "COMPLETED" ,\n  "output" : [ 1 ] , "metrics" : { "cost" : 1 , "remaining_credits" : 98765.4321 } }\n',
    "metrics of another kind": b'{"status":"COMPLETED","output":"x","metrics":["remaining_credits",1]}',
    "no utf-8": b'{"status":"COMPLETED","output":"\xff\xfe"}',
    "a raw newline in a string": b'{"status":"COMPLETED","output":"a\nb"}',
}


@pytest.mark.parametrize("name", BODIES)
async def test_odd_bodies_of_the_upstream(
    stack: Gateway, client: httpx.AsyncClient, submit: Submit, final: Final, name: str
) -> None:
    slug = "sim-odd"
    body = BODIES[name].replace(b"%s", b"upstreams-own-id")
    rule = {"match": "result", "slug": slug, "fault": "answer", "status": 200, "body_base64": _base64(body)}
    async with stack.faults({"match": "status", "slug": slug, "fault": "state", "state": "COMPLETED"}, rule):
        shown = await submit(slug)
        status = await final(shown)
    assert status.status_code == 200
    assert status.json()["request_id"] == shown
    result = await client.get(f"/v2/requests/{shown}")
    assert result.status_code == 200
    for text in (status.content, result.content, (await client.get(f"/api/v1/jobs/{shown}")).content):
        assert b"98765" not in text
        assert b"upstreams-own-id" not in text
    assert shown.encode() in result.content
    expected = _expected(body, shown)
    if expected is not None:
        assert result.content == expected


def _base64(body: bytes) -> str:
    import base64

    return base64.b64encode(body).decode()


def _expected(body: bytes, shown: str) -> bytes | None:
    """The body with our id, where that is a plain replacement."""
    if b"upstreams-own-id" in body:
        return body.replace(b"upstreams-own-id", shown.encode())
    if b"remaining" in body and b"[" not in body:
        return None
    if b"remaining_credits" in body and b"{ " in body:
        return None
    return body[: body.rindex(b"}")].rstrip() + f',"request_id":"{shown}"}}'.encode() if body.endswith(b"}") else None


async def test_random_values_come_through(submit: Submit, client: httpx.AsyncClient) -> None:
    chance = random.Random(7)
    echo = json.dumps([_value(chance, 4) for _ in range(40)], ensure_ascii=True).encode()
    shown = await submit("sim-echo", b'{"echo":' + echo + b"}")
    job = await ended(client, shown)
    assert job["status"] == "COMPLETED"
    assert output_of((await client.get(f"/v2/requests/{shown}")).content) == echo


def _value(chance: random.Random, depth: int) -> Any:
    match chance.randrange(7 if depth else 5):
        case 0:
            return chance.getrandbits(chance.choice([8, 64, 300])) * chance.choice([1, -1])
        case 1:
            return chance.uniform(-1, 1) * 10.0 ** chance.randrange(-300, 300)
        case 2:
            return "".join(
                chr(chance.choice([0, 34, 92, 0xD800, 0xE9, 0x1F600, 65])) for _ in range(chance.randrange(6))
            )
        case 3:
            return chance.choice([None, True, False])
        case 4:
            return ""
        case 5:
            return [_value(chance, depth - 1) for _ in range(chance.randrange(4))]
        case _:
            return {
                f"k{number}{chance.randrange(99)}": _value(chance, depth - 1) for number in range(chance.randrange(4))
            }


async def test_completed_status_has_the_upstreams_metrics_and_the_tenants_balance(submit: Submit, final: Final) -> None:
    shown = await submit("sim-instant")
    status = (await final(shown)).json()
    assert status["status"] == "COMPLETED"
    assert set(status["metrics"]) == {"inference_time", "queue_time", "total_time", "cost", "remaining_credits"}
    assert 999 < status["metrics"]["remaining_credits"] < 1000
    assert "output" not in status
