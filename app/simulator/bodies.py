"""The bodies of answers about a run: submit, status, result for each kind of model, and files."""

import random
import struct
import zlib
from typing import Any, assert_never

import orjson

from app.simulator import parameters
from app.simulator.config import MICROS_PER_CREDIT, SimulatorConfig
from app.simulator.http.json_text import find_raw_member, plain, quote_numbers
from app.simulator.runs import Run, State


def _png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


_PNG = b"\x89PNG\r\n\x1a\n" + b"".join(
    (
        _png_chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)),
        _png_chunk(b"IDAT", zlib.compress(b"\x00\x33\x66\x99")),
        _png_chunk(b"IEND", b""),
    )
)
"""One blue pixel."""
_MP4 = bytes.fromhex("00000018667479706d703432000000006d70343269736f6d0000000866726565")
_MP3 = b"ID3\x04\x00\x00\x00\x00\x00\x00"
_GLB = b"glTF\x02\x00\x00\x00\x0c\x00\x00\x00"
FILES = {
    "image": ("png", "image/png", _PNG),
    "video": ("mp4", "video/mp4", _MP4),
    "audio": ("mp3", "audio/mpeg", _MP3),
    "model3d": ("glb", "model/gltf-binary", _GLB),
}
"""The extension, content type and first bytes of each kind's file. The other kinds make no file."""


def submitted(request_id: str, base: str) -> bytes:
    """The answer to a submit."""
    return (
        f'{{"request_id":"{request_id}","status":"QUEUED","poll_url":"{base}/v1/requests/{request_id}",'
        f'"status_url":"{base}/v2/requests/{request_id}/status","response_url":"{base}/v2/requests/{request_id}"}}'
    ).encode()


def status(run: Run, state: State, base: str) -> bytes:
    """The body of the status URL. It never has the output."""
    request_id = run.request_id
    if state == "COMPLETED":
        return b'{"status":"COMPLETED","request_id":"%b","metrics":%b}' % (request_id.encode(), _metrics(run))
    if state == "FAILED":
        return orjson.dumps(
            {
                "status": "FAILED",
                "error": run.error,
                "metrics": {"inference_time": round(run.run_seconds, 6), "queue_time": round(run.queue_seconds, 6)},
            }
        )
    return (
        f'{{"status":"{state}","request_id":"{request_id}","status_url":"{base}/v2/requests/{request_id}/status",'
        f'"response_url":"{base}/v2/requests/{request_id}","metrics":{{}}}}'
    ).encode()


def _metrics(run: Run) -> bytes:
    return orjson.dumps(
        {
            "inference_time": round(run.run_seconds, 6),
            "queue_time": round(run.queue_seconds, 6),
            "total_time": round(run.queue_seconds + run.run_seconds, 6),
            "cost": run.cost_micros / MICROS_PER_CREDIT,
            "remaining_credits": (run.remaining_micros or 0) / MICROS_PER_CREDIT,
        }
    )


def output_url(run: Run, base: str, number: int = 1) -> str:
    """The URL of an output file. The second and later ones have a number."""
    name = run.request_id if number == 1 else f"{run.request_id}_{number}"
    return f"{base}/files/{name}.{FILES[run.kind][0]}"


def result(run: Run, base: str, file_bytes: int) -> bytes:
    """The body of the result URL of a COMPLETED run. It always has `output`, of any type."""
    head = b'{"status":"COMPLETED","request_id":"%b",' % run.request_id.encode()
    return head + _output(run, base, file_bytes) + b',"metrics":%b}' % _metrics(run)


def echo(run: Run) -> bytes:
    """The submitted member `echo` as `output`, byte for byte."""
    return b'{"output":%b}' % (find_raw_member(run.body, b"echo") or b"null")


def _output(run: Run, base: str, file_bytes: int) -> bytes:
    members: dict[str, Any]
    match run.kind:
        case "echo":
            return echo(run)[1:-1]
        case "text":
            members = {"output": orjson.dumps(native_text(run)).decode(), "reasoning": None, "partial": False}
        case "embedding":
            members = {"output": orjson.dumps(native_text(run)).decode()}
        case "image":
            given = plain(run.body)
            members = {
                "output": output_url(run, base),
                "images": [_file(run, base, file_bytes, number) for number in range(1, run.outputs + 1)],
                "seed": given.get("seed", -1),
                "prompt": given.get("prompt"),
                "timings": {},
            }
        case "video":
            members = {"video": _file(run, base, file_bytes, 1), "output": output_url(run, base)}
        case "audio" | "model3d":
            members = {"output": output_url(run, base)}
        case _:
            assert_never(run.kind)
    try:
        return orjson.dumps(members)[1:-1]
    except orjson.JSONEncodeError:
        return orjson.dumps(members | {"seed": None, "prompt": None})[1:-1]


def _file(run: Run, base: str, file_bytes: int, number: int) -> dict[str, Any]:
    url = output_url(run, base, number)
    size = max(file_bytes, len(FILES[run.kind][2]))
    name = url.rsplit("/", 1)[1]
    return {"url": url, "content_type": FILES[run.kind][1], "file_name": name, "file_size": str(size)}


def native_text(run: Run) -> dict[str, Any]:
    """The answer in the form of the model's own provider: Anthropic, Gemini or OpenAI, or an embedding."""
    if run.kind == "embedding":
        return {"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.25, -0.5, 0.125]}]}
    words = f"Simulated answer of {run.slug}."
    if run.slug.startswith("claude"):
        return {"role": "assistant", "content": [{"type": "text", "text": words}], "stop_reason": "end_turn"}
    if run.slug.startswith("gemini"):
        return {"candidates": [{"content": {"role": "model", "parts": [{"text": words}]}, "finishReason": "STOP"}]}
    choice = {"index": 0, "message": {"role": "assistant", "content": words}, "finish_reason": "stop"}
    return {"object": "chat.completion", "choices": [choice]}


def file_content(run: Run, file_bytes: int, number: int = 1) -> bytes:
    """The bytes of an output: the first bytes of its kind, then noise that follows from the request id."""
    head = FILES[run.kind][2]
    return head + random.Random(f"{run.request_id}_{number}").randbytes(max(file_bytes - len(head), 0))


def shown_body(run: Run, config: SimulatorConfig) -> bytes | None:
    """The `request_body` of a history row, as JSON text: the values that were sent, shown as `config` says. None: no body."""
    if config.history_body == "none":
        return None
    text = run.body.strip()
    if not text.startswith(b"{"):
        text = b"{}"
    missing = [] if not config.history_adds_defaults else [
        (name, value) for name, value in parameters.defaults(run.slug).items() if name not in plain(run.body)
    ]  # fmt: skip
    if missing:
        added = orjson.dumps(dict(missing))[1:-1]
        inner = text[1:-1].strip()
        text = b"{" + inner + (b"," if inner else b"") + added + b"}"
    if config.history_numbers_as_strings:
        text = quote_numbers(text)
    return orjson.dumps(text.decode()) if config.history_body == "string" else text
