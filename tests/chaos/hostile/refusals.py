"""Floods of cheap requests that are refused: not JSON, too large by their own account, compressed, without a sense."""

from tests.chaos.hostile.attack import Attack, Attacker, Line, Told, hold

BODY = b'{"prompt":"a"}'
PATH = "/v2/bad-plain"


async def not_json(attacker: Attacker, line: Line) -> Told:
    """400."""
    return await line.ask("POST", PATH, attacker.chance.choice((b"", b"[]", b'{"a":', b"\xff\xfe", b"NaN")))


async def other_media(attacker: Attacker, line: Line) -> Told:
    """415."""
    kind = attacker.chance.choice(("text/html", "application/xml", "multipart/form-data; boundary=x"))
    return await line.ask("POST", PATH, BODY, content_type=kind)


async def compressed(attacker: Attacker, line: Line) -> Told:
    """415."""
    return await line.ask("POST", PATH, BODY, content_encoding=attacker.chance.choice(("gzip", "br")))


async def too_large(attacker: Attacker, line: Line) -> Told:
    """413 before any of it has come; the connection is of no more use."""
    return await hold(attacker, attacker.head("POST", PATH, {}, 1_000_000_000), seconds=15, drip=b"x" * 1024)


async def idempotency_keys(attacker: Attacker, line: Line) -> Told:
    """400."""
    key = attacker.chance.choice(("k" * 256, "two words", "\xe9"))
    return await line.ask("POST", PATH, BODY, idempotency_key=key)


async def members(attacker: Attacker, line: Line) -> Told:
    """400: members that the native surface does not have, or not so."""
    wrong = attacker.chance.choice((b'"priority":99', b'"metadata":[1]', b'"x":1', b'"deadline_seconds":-1'))
    return await line.ask("POST", "/api/v1/jobs", b'{"model":"bad-plain","input":{},%b}' % wrong)


async def metadata(attacker: Attacker, line: Line) -> Told:
    """400: far more metadata than there may be."""
    huge = b",".join(b'"key%d":"%b"' % (number, b"v" * 1000) for number in range(60))
    return await line.ask("POST", "/api/v1/jobs", b'{"model":"bad-plain","input":{},"metadata":{%b}}' % huge)


ATTACKS = (
    Attack("refusals.not_json", not_json, 2),
    Attack("refusals.other_media", other_media),
    Attack("refusals.compressed", compressed),
    Attack("refusals.too_large", too_large, 5),
    Attack("refusals.idempotency_keys", idempotency_keys),
    Attack("refusals.members", members),
    Attack("refusals.metadata", metadata),
)
