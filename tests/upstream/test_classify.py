"""The table: what each shape of an exchange means. Nothing that was sent may ever be called not sent."""

import gzip
from datetime import UTC, datetime
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.upstream.classify import Exchange, classify_fetch, classify_poll, classify_submit, retry_after_seconds
from app.upstream.wire import OutcomeKind, UpstreamState

K = OutcomeKind
ACCEPTED = b'{"request_id":"47411f","status":"QUEUED"}'
HTML = b"<html><body>Bad Gateway</body></html>"


def exchange(
    code: int | None, body: bytes = b"", *, failure: str | None = None, sent: bool = True, **headers: str
) -> Exchange:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Exchange(sent=sent, status_code=code, duration_seconds=0.1, body=body, headers=named, failure=failure)


SUBMITS: dict[str, tuple[Exchange, OutcomeKind, str]] = {
    "refused": (exchange(None, failure="connect_refused", sent=False), K.NOT_SENT, "connect_refused"),
    "dns": (exchange(None, failure="dns_failed", sent=False), K.NOT_SENT, "dns_failed"),
    "black hole": (exchange(None, failure="connect_timeout", sent=False), K.NOT_SENT, "connect_timeout"),
    "tls": (exchange(None, failure="tls_failed", sent=False), K.NOT_SENT, "tls_failed"),
    "reset before send": (exchange(None, failure="closed_before_send", sent=False), K.NOT_SENT, "closed_before_send"),
    "reset after send": (exchange(None, failure="connection_reset"), K.UNKNOWN, "connection_reset"),
    "half head": (exchange(None, failure="half_head"), K.UNKNOWN, "half_head"),
    "half body": (exchange(200, ACCEPTED[:18], failure="half_body"), K.UNKNOWN, "half_body"),
    "time-out": (exchange(None, failure="read_timeout"), K.UNKNOWN, "read_timeout"),
    "200": (exchange(200, ACCEPTED), K.ACCEPTED, "http_200"),
    "202": (exchange(202, ACCEPTED), K.ACCEPTED, "http_202"),
    "200 without id": (exchange(200, b'{"status":"QUEUED"}'), K.UNKNOWN, "no_request_id"),
    "200 with an unusable id": (exchange(200, b'{"request_id":7}'), K.UNKNOWN, "no_request_id"),
    "200 HTML": (exchange(200, HTML), K.UNKNOWN, "not_an_object"),
    "200 list": (exchange(200, b'["47411f"]'), K.UNKNOWN, "not_an_object"),
    "204": (exchange(204), K.UNKNOWN, "not_an_object"),
    "302": (exchange(302), K.UNKNOWN, "http_302"),
    "400": (exchange(400, b'{"error":"bad"}'), K.REJECTED, "http_400"),
    "401": (exchange(401, b'{"error":"Unauthorized"}'), K.ACCOUNT, "http_401"),
    "402": (exchange(402, b'{"error":"Insufficient credits."}'), K.ACCOUNT, "http_402"),
    "403": (exchange(403), K.REJECTED, "http_403"),
    "404": (exchange(404, b'{"error":"Model information not found"}'), K.REJECTED, "http_404"),
    "405 HTML": (exchange(405, HTML), K.REJECTED, "http_405"),
    "406 credits": (exchange(406, b'{"error":"Insufficient credits. You have 0.1"}'), K.ACCOUNT, "http_406"),
    "406 cap": (exchange(406, b'{"error":"Team monthly spend limit reached"}'), K.ACCOUNT, "http_406"),
    "406 parameter": (exchange(406, b'{"error":"fps must be at least 5"}'), K.REJECTED, "http_406"),
    "406 cut": (exchange(406, b'{"error":"Insuf', failure="half_body"), K.ACCOUNT, "half_body"),
    "408": (exchange(408), K.UNKNOWN, "http_408"),
    "409": (exchange(409), K.REJECTED, "http_409"),
    "410": (exchange(410), K.REJECTED, "http_410"),
    "413": (exchange(413), K.REJECTED, "http_413"),
    "415": (exchange(415), K.REJECTED, "http_415"),
    "422": (exchange(422, b'{"error":"x"}'), K.REJECTED, "http_422"),
    "422 cut": (exchange(422, b'{"err', failure="half_body"), K.REJECTED, "half_body"),
    "425": (exchange(425), K.THROTTLED, "http_425"),
    "429": (exchange(429), K.THROTTLED, "http_429"),
    "429 cut": (exchange(429, failure="half_body"), K.THROTTLED, "half_body"),
    "500": (exchange(500, b'{"error":"boom"}'), K.UNKNOWN, "http_500"),
    "500 with some id": (exchange(500, b'{"request_id":"trace-of-a-proxy"}'), K.UNKNOWN, "http_500"),
    "502": (exchange(502, HTML), K.UNKNOWN, "http_502"),
    "503": (exchange(503), K.UNKNOWN, "http_503"),
    "503 with Retry-After": (exchange(503, retry_after="5"), K.UNKNOWN, "http_503"),
    "504": (exchange(504), K.UNKNOWN, "http_504"),
    "600": (exchange(600), K.UNKNOWN, "http_600"),
}


@pytest.mark.parametrize(("given_", "kind", "detail"), SUBMITS.values(), ids=SUBMITS)
def test_a_submit(given_: Exchange, kind: OutcomeKind, detail: str) -> None:
    outcome = classify_submit(given_)
    assert (outcome.kind, outcome.detail, outcome.status_code) == (kind, detail, given_.status_code)
    assert (outcome.upstream_id is not None) == (kind is K.ACCEPTED)
    assert (outcome.body is not None) == (kind is K.REJECTED and given_.failure is None)
    assert outcome.duration_seconds == 0.1


def test_a_2xx_that_breaks_off_after_naming_the_job_passes_the_id_on() -> None:
    outcome = classify_submit(exchange(200, b'{"request_id":"47411f","sta', failure="half_body"))
    assert (outcome.kind, outcome.upstream_id) == (K.UNKNOWN, "47411f")


QUEUED = b'{"status":"QUEUED","request_id":"u","metrics":{}}'
PROCESSING = b'{"status":"PROCESSING"}'
COMPLETED = b'{"status":"COMPLETED","output":1e-400,"metrics":{"inference_time":13.06,"cost":0.05}}'
FAILED = b'{"status":"FAILED","error":"Prompt is required.","metrics":{"inference_time":0.003}}'
GZIPPED = gzip.compress(COMPLETED)
MANY_VALUES = b'{"status":"COMPLETED","output":[' + b"0," * 1_100_000 + b"0]}"

READS: dict[str, tuple[Exchange, OutcomeKind, str]] = {
    "queued": (exchange(200, QUEUED), K.RUNNING, "http_200"),
    "processing": (exchange(200, PROCESSING), K.RUNNING, "http_200"),
    "completed": (exchange(200, COMPLETED), K.SUCCEEDED, "http_200"),
    "failed": (exchange(422, FAILED), K.FAILED, "http_422"),
    "failed with 200": (exchange(200, FAILED), K.FAILED, "http_200"),
    "failed with 500": (exchange(500, FAILED), K.FAILED, "http_500"),
    "failed with 404": (exchange(404, FAILED), K.FAILED, "http_404"),
    "failed, cut": (exchange(422, FAILED, failure="half_body"), K.TROUBLE, "half_body"),
    "completed with 500": (exchange(500, COMPLETED), K.TROUBLE, "http_500"),
    "lower case": (exchange(200, b'{"status":"completed"}'), K.UNREADABLE, "unknown_state"),
    "unknown state": (exchange(200, b'{"status":"CANCELLED"}'), K.UNREADABLE, "unknown_state"),
    "no state": (exchange(200, b"{}"), K.UNREADABLE, "unknown_state"),
    "state is no string": (exchange(200, b'{"status":["COMPLETED"]}'), K.UNREADABLE, "unknown_state"),
    "the last of duplicates": (exchange(200, b'{"status":"QUEUED","status":"FAILED"}'), K.FAILED, "http_200"),
    "HTML": (exchange(200, HTML), K.UNREADABLE, "not_an_object"),
    "list": (exchange(200, b"[]"), K.UNREADABLE, "not_an_object"),
    "cut": (exchange(200, COMPLETED[:20], failure="half_body"), K.TROUBLE, "half_body"),
    "too large": (exchange(200, b"", failure="body_too_large"), K.UNREADABLE, "body_too_large"),
    "encoded": (exchange(200, GZIPPED, content_encoding="gzip"), K.UNREADABLE, "encoded"),
    "said to be encoded, and is not": (exchange(200, COMPLETED, content_encoding="gzip"), K.SUCCEEDED, "http_200"),
    "failed, encoded": (exchange(422, GZIPPED, content_encoding="br"), K.UNREADABLE, "encoded"),
    "failed, too large": (exchange(422, b"", failure="body_too_large"), K.UNREADABLE, "body_too_large"),
    "too deep": (exchange(200, b'{"a":' + b"[" * 9_000 + b"]" * 9_000 + b"}"), K.UNREADABLE, "nested_too_deeply"),
    "many values": (exchange(200, MANY_VALUES), K.SUCCEEDED, "http_200"),
    "empty": (exchange(200), K.UNREADABLE, "not_an_object"),
    "unknown coding": (exchange(200, b"", failure="unknown_coding"), K.UNREADABLE, "unknown_coding"),
    "404": (exchange(404, b'{"error":"Request x not found"}'), K.GONE, "http_404"),
    "404 HTML": (exchange(404, HTML), K.GONE, "http_404"),
    "404 cut": (exchange(404, b"", failure="half_body"), K.TROUBLE, "half_body"),
    "410": (exchange(410), K.GONE, "http_410"),
    "429": (exchange(429), K.THROTTLED, "http_429"),
    "401": (exchange(401), K.ACCOUNT, "http_401"),
    "402": (exchange(402), K.ACCOUNT, "http_402"),
    "403": (exchange(403), K.ACCOUNT, "http_403"),
    "400": (exchange(400), K.TROUBLE, "http_400"),
    "422 of another sort": (exchange(422, b'{"error":"x"}'), K.TROUBLE, "http_422"),
    "302": (exchange(302), K.TROUBLE, "http_302"),
    "503": (exchange(503, HTML), K.TROUBLE, "http_503"),
    "refused": (exchange(None, failure="connect_refused", sent=False), K.TROUBLE, "connect_refused"),
    "hang": (exchange(None, failure="read_timeout"), K.TROUBLE, "read_timeout"),
}


@pytest.mark.parametrize(("given_", "kind", "detail"), READS.values(), ids=READS)
def test_a_poll_and_a_fetch(given_: Exchange, kind: OutcomeKind, detail: str) -> None:
    poll, fetch = classify_poll(given_), classify_fetch(given_)
    assert (poll.kind, poll.detail) == (fetch.kind, fetch.detail) == (kind, detail)
    assert poll.body == (given_.body if kind is K.FAILED else None)
    assert fetch.body == (given_.body if kind in (K.FAILED, K.SUCCEEDED) else None)


SILENT = {
    "failed, cut", "completed with 500", "cut", "404 cut", "503", "refused", "hang",
    "dns", "black hole", "tls", "reset before send", "reset after send", "half head", "half body", "time-out",
    "406 cut", "422 cut", "429 cut", "500", "500 with some id", "502", "503 with Retry-After", "504", "600",
}  # fmt: skip


def test_a_whole_answer_proves_that_the_upstream_is_there_whether_we_can_read_it_or_not() -> None:
    """Only silence, what broke off, and 5xx without a state speak against it."""
    reads = {name for name, (given_, _, _) in READS.items() if not classify_poll(given_).answered}
    reads |= {name for name, (given_, _, _) in READS.items() if not classify_fetch(given_).answered}
    submits = {name for name, (given_, _, _) in SUBMITS.items() if not classify_submit(given_).answered}
    assert reads | submits == SILENT
    assert classify_fetch(exchange(None, failure="head_too_large")).answered


def test_what_a_poll_tells_besides() -> None:
    running, done, failed = (
        classify_poll(exchange(*given_)) for given_ in ((200, QUEUED), (200, COMPLETED), (422, FAILED))
    )
    assert running.state is UpstreamState.QUEUED
    assert done.state is UpstreamState.COMPLETED
    assert done.metrics is not None
    assert (done.metrics.cost_micro, done.metrics.inference_seconds) == (50_000, 13.06)
    assert failed.metrics is not None
    assert (failed.error, failed.metrics.cost_micro) == ("Prompt is required.", None)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b'{"error":"a\\u0000b\\ud800"}', "a\ufffdb\ufffd"),
        (b'{"error":{"code": 1}}', '{"code": 1}'),
        (b'{"error":null,"message":"m"}', "m"),
        (b'{"error":null}', None),
        (b'{"error":"\xff"}', "\ufffd"),
        (b"model not found", "model not found"),
        (HTML, None),
        (b'{"error":"cut', None),
        (b'{"error":"' + b"x" * 9_000 + b'"}', "x" * 8_000),
    ],
)
def test_the_upstream_s_own_words(body: bytes, error: str | None) -> None:
    assert classify_submit(exchange(400, body)).error == error


HOSTILE = [
    b'{"status":NaN,"request_id":NaN}', b'{"status":"FAILED","error":"\\u0000"}', b'{"request_id":"\\ud800","status":"\\ud800"}',
    b'{"a":' + b"[" * 100_000, b'{"status":"COMPLETED","a":' + b"[" * 10_000 + b"]" * 10_000 + b"}", b'{"a":' * 50_000,
    b'{"status":"COMPLETED","metrics":{"cost":' + b"9" * 5_000 + b',"inference_time":1e131071,"remaining_credits":-1e131071}}',
    b'{"status":"COMPLETED","status":"COMPLETED","metrics":[],"metrics":{"cost":{}}}', b"[" * 100_000, b"\xff\xfe{", b"\x00" * 10, b"null",
    b'{"status":"COMPLETED","metrics":{"cost":"' + b"1" * 100_000 + b'"}}', b'{"' + b"k" * 1_000_000 + b'":1}', b'{"error":' + b"[" * 900 + b"]" * 900 + b"}",
]  # fmt: skip


@pytest.mark.parametrize(("body", "code"), list(product(HOSTILE, [200, 406, 422, 500])))
def test_hostile_json_raises_nothing(body: bytes, code: int) -> None:
    assert classify_submit(exchange(code, body)).kind in (K.UNKNOWN, K.REJECTED, K.ACCOUNT)
    for classify in (classify_poll, classify_fetch):
        outcome = classify(exchange(code, body))
        assert outcome.kind in (K.TROUBLE, K.UNREADABLE, K.FAILED, K.SUCCEEDED)
        assert outcome.metrics is None or outcome.metrics.cost_micro is None


@settings(max_examples=300, deadline=None)
@given(
    code=st.one_of(st.none(), st.integers(100, 999)),
    body=st.one_of(st.binary(max_size=80), st.sampled_from([ACCEPTED, COMPLETED, FAILED, HTML])),
    failure=st.sampled_from([None, "half_body", "read_timeout"]),
    retry=st.text(max_size=30),
)
def test_what_was_sent_is_never_called_not_sent(code: int | None, body: bytes, failure: str | None, retry: str) -> None:
    sent = exchange(code, body, failure=failure, retry_after=retry)
    submit = classify_submit(sent)
    assert submit.kind is not K.NOT_SENT
    assert (submit.kind is K.ACCEPTED) <= (code is not None and 200 <= code < 300 and failure is None)
    assert classify_poll(sent).kind is not K.NOT_SENT
    assert classify_fetch(sent).kind is not K.SUCCEEDED or body == COMPLETED


AT = datetime(2026, 11, 22, 10, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5", 5), ("0", 0), ("1.5", 1.5), ("86400", 3600), ("2026-11-22T10:00:30Z", 30), ("2026-11-22T12:00:30+02:00", 30),
        ("2026-11-22T10:00:30.123456789Z", 30.123456), ("2026-11-22 10:00:30", 30), ("2026-11-22 10:00:30 UTC", 30),
        (str(int(AT.timestamp()) + 30), 30), (str(int(AT.timestamp() * 1000) + 30_500), 30.5), ("2020-01-01T00:00:00Z", 0),
        ("Sun, 22 Nov 2026 10:00:30 GMT", 30), ("Sun, 22 Nov 2026 10:00:30 +0000", 30), ("2099-01-01", 3600),
        ("soon", None), ("", None), ("nan", None), ("-5", None), ("9" * 200, None), ("Sun, 99 Nov 2026", None), ("٥", None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["retry-after", "x-rate-limit-reset-at-utc"])
def test_how_long_to_wait(name: str, text: str, seconds: float | None) -> None:
    assert retry_after_seconds({name: text}, at=AT) == (None if seconds is None else pytest.approx(seconds))


def test_retry_after_goes_before_the_reset_and_rubbish_before_neither() -> None:
    assert retry_after_seconds({"retry-after": "7", "x-rate-limit-reset-at-utc": "2026-11-22T10:00:30Z"}, at=AT) == 7
    assert retry_after_seconds({"retry-after": "later", "x-rate-limit-reset-at-utc": "9"}, at=AT) == 9
    assert retry_after_seconds({}, at=AT) is None


@given(st.text(max_size=40))
def test_no_header_raises(text: str) -> None:
    seconds = retry_after_seconds({"retry-after": text}, at=AT)
    assert seconds is None or 0 <= seconds <= 3600


@pytest.mark.parametrize(
    ("made", "in_json"),
    [
        (exchange(401, b'{"error":"Unauthorized"}'), True),
        (exchange(404, b"{}"), True),
        (exchange(404, HTML), False),
        (exchange(402), False),
        (exchange(402, b'"Payment Required"'), False),
        (exchange(406, b'{"error":"Insuf', failure="half_body"), False),
        (exchange(None), False),
    ],
)
def test_which_answers_are_in_json(made: Exchange, in_json: bool) -> None:
    assert classify_submit(made).in_json is in_json
    assert classify_poll(made).in_json is in_json
