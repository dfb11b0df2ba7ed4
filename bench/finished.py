"""Does history weigh? The same load with empty tables and with a million finished jobs in them: `python -m bench.finished`.

Both windows are taken in one run on one stack. The ratio is of CPU: how many jobs a core carries with full tables for
each one it carries with empty ones. Submit latency and what `waystation up`'s own sweeps cost are in it. `--verify` adds
how long `waystation verify` takes to prove each thing about money on the full tables.
"""

import argparse
import time

import uvloop

from app.ops.money import OF_MONEY
from bench.jobs import HEADINGS, Figures, measure, ours
from bench.load import PADDING
from bench.stand import MODEL, SHORT, Stand, load, query, stand
from bench.table import Table

CHUNK = 50_000

# One job as it is left behind: its input, its result, one attempt, five events, four exchanges, its hold.
_FILL = """
WITH made AS (
    SELECT gen_random_uuid() AS id, n, tenants.ids[1 + n % cardinality(tenants.ids)] AS tenant_id,
        now() - (($2 + n) * interval '1 second') AS ended_at
    FROM generate_series(1, $1::bigint) AS n, (SELECT array_agg(id) AS ids FROM tenants) AS tenants
), filled AS (
    INSERT INTO jobs (
        id, tenant_id, surface, model, state, revision, created_at, sent_at, submitted_at, started_at, finished_at,
        fence, attempt, upstream_id, upstream_state, polls, run_seconds, detection_seconds, cost_micro, held_micro,
        charged_micro
    )
    SELECT id, tenant_id, 'segmind', $3, 'completed', 5, ended_at - interval '9 s', ended_at - interval '8 s',
        ended_at - interval '8 s', ended_at - interval '7 s', ended_at, 9, 1, id::text, 'COMPLETED', 8, 7, 0.5, 50000, 100000,
        50000
    FROM made
), inputs AS (
    INSERT INTO job_inputs (job_id, body)
    SELECT id, convert_to(json_build_object('prompt', $4::text, 'seed', n, 'steps', 30)::text, 'UTF8') FROM made
), results AS (
    INSERT INTO job_results (job_id, body)
    SELECT id, convert_to(json_build_object('status', 'COMPLETED', 'request_id', id, 'output', $5::text)::text, 'UTF8')
    FROM made
), opened AS (
    INSERT INTO attempts (job_id, attempt, worker, sent_at, settled_at, outcome, upstream_id)
    SELECT id, 1, id, ended_at - interval '8 s', ended_at - interval '8 s', 'accepted', id::text FROM made
), holds AS (
    INSERT INTO transfers (id, tenant_id, kind, amount, job_id, note, created_at)
    SELECT gen_random_uuid(), tenant_id, 'hold', 100000, id, 'history', ended_at - interval '9 s' FROM made
), events AS (
    INSERT INTO job_events (job_id, seq, at, from_state, to_state, reason)
    SELECT id, seq, ended_at - interval '9 s', from_state, to_state, reason
    FROM made CROSS JOIN (VALUES
        (1, NULL, 'queued', 'submitted'), (2, 'queued', 'sending', 'sending'), (3, 'sending', 'running', 'accepted'),
        (4, 'running', 'running', 'state_changed'), (5, 'running', 'completed', 'completed')
    ) AS path (seq, from_state, to_state, reason)
)
INSERT INTO upstream_exchanges (at, kind, job_id, attempt, status_code, outcome, duration_seconds)
SELECT ended_at, kind, id, 1, 200, outcome, 0.2
FROM made CROSS JOIN (VALUES
    ('submit', 'accepted'), ('poll', 'running'), ('poll', 'succeeded'), ('fetch', 'succeeded')
) AS calls (kind, outcome)
"""
# A hold must be there before it is resolved.
_RESOLVE = """
INSERT INTO transfers (id, tenant_id, kind, amount, job_id, hold_id)
SELECT gen_random_uuid(), tenant_id, 'post', 50000, job_id, id FROM transfers WHERE kind = 'hold' AND note = 'history'
"""
_BALANCE = """
WITH paid AS (
    SELECT tenant_id, date_trunc('hour', created_at, 'UTC') AS hour, sum(amount)::bigint AS amount, count(*) AS jobs
    FROM transfers WHERE kind = 'post' AND hold_id IN (SELECT id FROM transfers WHERE note = 'history') GROUP BY 1, 2
), used AS (
    INSERT INTO usage_hours (tenant_id, hour, model, completed, charged_micro)
    SELECT tenant_id, hour, 'history', jobs, amount FROM paid
)
UPDATE balances SET posted = posted + paid.amount FROM paid WHERE balances.tenant_id = paid.tenant_id
"""
_TABLES = ("jobs", "job_inputs", "job_results", "attempts", "job_events", "upstream_exchanges", "transfers")


async def fill(on: Stand, jobs: int) -> None:
    """So many finished ones, with all that hangs on them; then ANALYZE, as autovacuum would have done on the way."""
    began_at = time.monotonic()
    output = "https://images.segmind.com/outputs/" + "0123456789abcdef" * 16
    for done in range(0, jobs, CHUNK):
        await query(on.database_url, _FILL, min(CHUNK, jobs - done), done, MODEL, PADDING, output)
    await query(on.database_url, _RESOLVE)
    await query(on.database_url, _BALANCE)
    await query(on.database_url, f"VACUUM (ANALYZE) {', '.join(_TABLES)}")
    await query(on.database_url, "CHECKPOINT")
    [[size]] = await query(on.database_url, "SELECT pg_size_pretty(pg_database_size(current_database()))")
    print(f"{jobs:,} finished jobs, {size}, in {time.monotonic() - began_at:.0f} s")


async def verify(on: Stand) -> None:
    """How long each proof about money takes."""
    [[transfers]] = await query(on.database_url, "SELECT count(*) FROM transfers")
    total = 0.0
    for one in OF_MONEY:
        began_at = time.monotonic()
        [row] = await query(on.database_url, one.query.text, *one.arguments())
        took = time.monotonic() - began_at
        total += took
        print(f"  {one.name:12} {took:6.1f} s  {row['checked']:>12,} checked, {row['wrong']} wrong")
    print(f"money verified over {transfers:,} transfers in {total:.0f} s")


async def run(given: argparse.Namespace) -> None:
    table = Table(HEADINGS)
    found: list[Figures] = []
    async with stand(SHORT) as on, load(on.url, on.keys, SHORT) as generator:
        for number, jobs in enumerate((0, given.jobs)):
            if jobs:
                await generator.tell(rate=0)
                await fill(on, jobs)
            warm = given.warm if number else 2 * given.warm  # the first one also learns how long jobs take
            figures = await measure(ours(on), generator, rate=given.rate, warm_seconds=warm, seconds=given.seconds)
            table.row({**figures.cells, "design": f"{jobs:,}"})
            found.append(figures)
        if given.verify:
            await verify(on)
    empty, full = found
    ratio = empty.cpu_ms / full.cpu_ms
    print(
        f"CPU a job {empty.cpu_ms:.2f} ms with empty tables, {full.cpu_ms:.2f} ms with full ones: {ratio:.2f} the throughput"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1_000_000, help="finished ones")
    parser.add_argument("--verify", action="store_true")
    parser.add_argument("--rate", type=float, default=200.0)
    parser.add_argument("--seconds", type=float, default=30.0, help="of each window")
    parser.add_argument("--warm", type=float, default=20.0, help="seconds of the load before each window")
    uvloop.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
