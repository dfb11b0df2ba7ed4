"""What a 403 is evidence of, and when two bodies are one request."""

import pytest

from app.jobs.observing.evidence import body_digest, is_evidence, is_forbidden
from app.upstream.classify import Exchange, classify_submit

JSON = b'{"error": "Your account is not permitted to use this model"}'


def answered(status: int, body: bytes, failure: str | None = None) -> Exchange:
    return Exchange(sent=True, status_code=status, duration_seconds=0.1, body=body, headers={}, failure=failure)


@pytest.mark.parametrize(
    ("exchange", "evidence"),
    [
        (answered(403, JSON), True),
        (answered(403, b"{}"), True),
        (answered(403, b"<html>Attention Required!</html>"), False),
        (answered(403, b""), False),
        (answered(403, b"Forbidden"), False),
        (answered(403, b'"Forbidden"'), False),
        (answered(403, b"[1]"), False),
        (answered(403, b'{"error": "cut'), False),
        (answered(403, JSON, failure="half_body"), False),
        (answered(404, JSON), False),
        (answered(401, JSON), False),
        (answered(200, JSON), False),
    ],
)
def test_only_a_whole_json_object_is_evidence(exchange: Exchange, evidence: bool) -> None:
    outcome = classify_submit(exchange)
    assert is_forbidden(outcome) is (exchange.status_code == 403)
    assert is_evidence(outcome) is evidence


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (b'{"prompt":"a","seed":1}', b'{"prompt":"a","seed":2}', True),
        (b'{"prompt":"a","seed":1}', b'{"prompt":"a"}', True),
        (b'{"seed":1}', b"{}", True),
        (b'{"seed":1,"a":1,"b":2}', b'{ "b": 2, "a": 1 }', True),
        (b'\xef\xbb\xbf{"a":1,"seed":3}', b'{"a":1}', True),
        (b'{"prompt":"a","seed":1}', b'{"prompt":"b","seed":1}', False),
        (b'{"a":{"seed":1}}', b'{"a":{"seed":2}}', False),
        (b'{"Seed":1}', b'{"Seed":2}', False),
        (b'{"a":1}', b'{"a":"1"}', False),
        (b"not json", b"not json", True),
        (b"not json", b"nor this", False),
    ],
)
def test_bodies_that_differ_in_the_seed_alone_are_one(one: bytes, other: bytes, same: bool) -> None:
    assert (body_digest(one) == body_digest(other)) is same
    assert len(body_digest(one)) == 32
