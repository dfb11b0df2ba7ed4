"""Fields of a head as HTTP has them: blanks around a value are no part of it, an empty list asks for nothing."""

import asyncio
from urllib.parse import urlsplit

import pytest

from tests.gateway import Gateway, TenantKey
from tests.segmind.test_paths import raw

JSON = b"content-type: application/json\r\n"
SURFACES = {"/v2/sim-instant": b"{}", "/api/v1/jobs": b'{"model":"sim-instant","input":{}}'}
BLANKS = [b" %b ", b"%b\t", b"\t%b \t ", b"%b"]


def post(path: str, head: bytes, body: bytes) -> bytes:
    return b"POST %b HTTP/1.1\r\nhost: a\r\n%bcontent-length: %d\r\n\r\n%b" % (path.encode(), head, len(body), body)


@pytest.mark.parametrize("blanks", BLANKS)
async def test_blanks_around_a_value_are_no_part_of_it(stack: Gateway, tenant: TenantKey, blanks: bytes) -> None:
    key = tenant.key.encode()
    for field in (b"x-api-key:" + blanks % key, b"authorization:" + blanks % (b"Bearer " + key)):
        status, _, body = await raw(stack, b"GET /api/v1/balance HTTP/1.1\r\nhost: a\r\n" + field + b"\r\n\r\n")
        assert status == 200, body
    for path, body in SURFACES.items():
        head = b"x-api-key:%b\r\nidempotency-key:%b\r\nprefer:%b\r\ncontent-type:%b\r\n" % (
            blanks % key, blanks % path.encode(), blanks % b"respond-async", blanks % b"Application/JSON; Charset=UTF-8",
        )  # fmt: skip
        first = await raw(stack, post(path, head, body))
        again = await raw(stack, post(path, head.replace(blanks % path.encode(), path.encode()), body))
        assert first[0] in (200, 202), first[2]
        assert (again[0], again[1]["idempotent-replayed"]) == (200, "true")


@pytest.mark.parametrize("path", SURFACES)
@pytest.mark.parametrize(
    ("field", "status", "said"),
    [
        (b"content-encoding:\r\n", 2, b""),
        (b"content-encoding: \t\r\n", 2, b""),
        (b"content-encoding: Identity , ,\r\n", 2, b""),
        (b"content-encoding: gzip\r\n", 415, b"header Content-Encoding"),
        (b"content-encoding: identity\r\ncontent-encoding: br\r\n", 415, b"header Content-Encoding"),
        (b"prefer:\r\n", 2, b""),
        (b"accept:\r\n", 2, b""),
        (b"idempotency-key:\r\n", 400, b"header Idempotency-Key"),
        (b"idempotency-key: a b\r\n", 400, b"header Idempotency-Key"),
        (b"expect:\r\n", 2, b""),
        (
            b"idempotency-key: a\r\nIdempotency-Key: b\r\n",
            400,
            b"header Idempotency-Key: expected once, found 2 times",
        ),
        (b"x: 1\r\n 2\r\n", 400, b"not a valid HTTP"),
    ],
)
async def test_empty_values_and_lists(
    stack: Gateway, tenant: TenantKey, path: str, field: bytes, status: int, said: bytes
) -> None:
    head = b"x-api-key: %b\r\n%b%b" % (tenant.key.encode(), JSON, field)
    got, _, body = await raw(stack, post(path, head, SURFACES[path]))
    assert got == status or got // 100 == status, body
    assert said in body


@pytest.mark.parametrize("field", [b"", b"content-type:\r\n", b"content-type: \r\n", b"content-type: text/plain\r\n"])
@pytest.mark.parametrize("path", SURFACES)
async def test_without_a_media_type_a_body_is_415(stack: Gateway, tenant: TenantKey, path: str, field: bytes) -> None:
    status, _, body = await raw(
        stack, post(path, b"x-api-key: %b\r\n%b" % (tenant.key.encode(), field), SURFACES[path])
    )
    assert (status, b"header Content-Type: expected application/json" in body) == (415, True)


async def test_operators_fields_are_read_alike(stack: Gateway) -> None:
    admin = "an-admin-key-that-only-tests-know-0123456789"
    async with stack.api(ADMIN_KEY=admin) as url:
        reader, writer = await asyncio.open_connection(urlsplit(url).hostname, urlsplit(url).port)
        for field, status in (
            (b"content-encoding: \t", b"201"), (b"content-encoding: gzip", b"415"), (b"content-type:", b"415"), (b"x: y", b"201"),
        ):  # fmt: skip
            media = b"" if field.startswith(b"content-type") else JSON
            head = b"authorization: Bearer %b \t\r\n%b%b\r\n" % (admin.encode(), media, field)
            writer.write(
                post("/admin/v1/tenants", head, b'{"name":"fields-%b"}' % field[-4:].strip(b": \t-").hex().encode())
            )
            answered = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)).lower()
            assert answered.split()[1] == status, answered
            length = int(answered.partition(b"content-length: ")[2].split()[0])
            await reader.readexactly(length)
        writer.close()


async def test_a_trailer_is_no_header(stack: Gateway, tenant: TenantKey) -> None:
    """It comes after the body: what reads the head before has seen another request."""
    head = (
        b"POST /v2/sim-instant HTTP/1.1\r\nhost: a\r\n"
        + JSON
        + b"transfer-encoding: Chunked \r\n%b\r\n2\r\n{}\r\n0\r\n"
    )
    key = b"x-api-key: " + tenant.key.encode() + b"\r\n"
    status, _, body = await raw(stack, head % b"" + key + b"\r\n")
    assert status == 401, body
    status, headers, body = await raw(stack, head % key + b"idempotency-key: a b\r\n\r\n")
    assert status == 200, body
    assert "idempotent-replayed" not in headers


async def test_a_header_with_one_value_is_there_once(stack: Gateway, tenant: TenantKey) -> None:
    twice = {"X-Metadata": ("{}", "{}"), "X-Priority": ("1", "9"), "X-Deadline-Seconds": ("60", "70")}
    twice["X-Webhook-Url"] = ("https://a.example.com/", "https://b.example.com/")
    fields = "".join(f"{name}: {value}\r\n" for name, values in twice.items() for value in values).encode()
    head = b"x-api-key: %b\r\n%b%b" % (tenant.key.encode(), JSON, fields)
    status, _, body = await raw(stack, post("/v2/sim-instant", head, b"{}"))
    assert status == 400
    for name in twice:
        assert f"header {name}: expected once, found 2 times".encode() in body
    events = (
        b"x-webhook-events: job.completed\r\nx-webhook-events: job.failed\r\nx-webhook-url: https://a.example.com/\r\n"
    )
    head = b"x-api-key: %b\r\n%b%b" % (tenant.key.encode(), JSON, events)
    status, _, body = await raw(stack, post("/v2/sim-instant", head, b"{}"))
    assert status == 200, body
