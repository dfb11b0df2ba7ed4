"""Turns: which queued jobs a worker sends next, of all tenants, in one guarded statement."""

from typing import NamedTuple
from uuid import UUID

from app.admission.budget import PACE_CTES, SUBMITS_GRANTED, count_granted, next_token_seconds
from app.admission.queries import MAY_SUBMIT
from app.admission.queues import KEY_HAS_ROOM
from app.core.db import Row, Session
from app.jobs.claims import HANDS_FREE

KEEPERS_MAX = 20
"""Tenants of keys with room and jobs that are out of line, looked at in one claim."""
PASSED_MAX = 100
"""Jobs of keys at their limit that one claim passes over, of each tenant, to find what else it has."""
BEYOND_MIN = 8
"""So many tenants more are looked at where none of those whose turn it is has a job that may go."""
COST_MICRO_MIN = 1_000
"""What a job counts for at least when tenants take turns: free ones use up the upstream's patience, too."""

# ANY (ARRAY(…)) and LATERAL … LIMIT where a join would do: of a LIMIT that is a parameter the planner expects a tenth of
# all rows, and reads the whole table to join them.

# Of a job that is out of line: may it stand in it, as far as pauses go?
_ASIDE = f"""job.state = 'queued' AND job.due_at = 'infinity' AND {MAY_SUBMIT}
    AND (job.deadline_at IS NULL OR job.deadline_at > now())"""
# Of a queue: is its tenant paused as a whole? Then what is aside need not be looked through.
_PAUSED = "EXISTS (SELECT FROM pauses AS whole WHERE whole.tenant_id = {0}.tenant_id AND whole.model IS NULL)"
# Of a key: may jobs in line have to be passed over, because it is at its limit or older ones are out of line?
_KEY_SHORT = "key.subject_id <> key.tenant_id AND (key.kept_out OR key.in_flight + key.ready > key.max_in_flight)"

# Which queued jobs go next? None while submits are paused; one, as a probe, after trouble with the account. First the
# tenants whose turn it is: those with the lowest virtual time that have jobs in line and room for them. Of each the next
# few; and of these the first ones in the order in which a server that shares itself out by weight, credit by credit,
# would begin them (start-time fair queueing: Goyal, Vin and Cheng, 1996), up to the horizon beyond which jobs that were
# not looked at would come first. Jobs of a key at its own limit are set aside when they are met, and come back when it
# has room. The gate lets one claim through at a time. What a claim that waited there saw before is not what is: queues and
# jobs are read again as they are locked, and counts are written as they were read then.
CLAIM_QUEUED = f"""
WITH {PACE_CTES}, gate AS MATERIALIZED (
    SELECT
        pace.*, granted.*, stop.paused,
        CASE WHEN stop.paused THEN 0 ELSE greatest(0, least(
            $1::bigint, granted.granted, CASE WHEN pace.paused_reason = 'account' THEN 1 END,
            CASE WHEN pace.max_in_flight IS NOT NULL THEN
                pace.max_in_flight
                    - (SELECT coalesce(sum(in_flight + claimed), 0) FROM queues WHERE subject_id = tenant_id)
            END
        )) END AS most
    FROM pace CROSS JOIN LATERAL ({SUBMITS_GRANTED}) AS granted CROSS JOIN LATERAL (
        SELECT
            coalesce(pace.paused_until > now(), false)
            OR EXISTS (SELECT FROM pauses WHERE tenant_id IS NULL AND model IS NULL) AS paused
    ) AS stop
), in_turn AS MATERIALIZED (
    SELECT queue.subject_id, queue.virtual_time, row_number() OVER (ORDER BY queue.virtual_time) AS place
    FROM queues AS queue
    WHERE queue.runnable
    ORDER BY queue.virtual_time LIMIT (SELECT CASE WHEN most > 0 THEN most + $5::bigint + 1 ELSE 0 END FROM gate)
), lowest AS MATERIALIZED (
    SELECT subject_id FROM in_turn WHERE place <= (SELECT most + $5::bigint FROM gate)
), keepers AS MATERIALIZED (
    SELECT tenant_id FROM queues
    WHERE {KEY_HAS_ROOM} AND (SELECT most FROM gate) > 0 AND CASE WHEN {_PAUSED.format("queues")} THEN false
        ELSE (SELECT true FROM jobs AS job WHERE job.key_id = queues.subject_id AND {_ASIDE} LIMIT 1)
    END
    LIMIT {KEEPERS_MAX}
), locked AS MATERIALIZED (
    SELECT subject_id, tenant_id, weight, virtual_time, max_in_flight, queued, ready, claimed, in_flight, kept_out
    FROM queues
    WHERE tenant_id = ANY (ARRAY(SELECT subject_id FROM lowest UNION SELECT tenant_id FROM keepers))
    ORDER BY subject_id
    FOR UPDATE
), short AS MATERIALIZED (
    SELECT DISTINCT key.tenant_id FROM locked AS key WHERE {_KEY_SHORT}
), turns AS MATERIALIZED (
    SELECT
        locked.tenant_id, locked.weight, greatest(locked.virtual_time, gate.virtual_time) AS begins_at, room.jobs AS room,
        share.jobs AS share,
        CASE WHEN share.jobs > 0 AND locked.tenant_id IN (SELECT tenant_id FROM short)
            THEN share.jobs + {PASSED_MAX} ELSE share.jobs
        END AS seen
    FROM locked CROSS JOIN gate CROSS JOIN LATERAL (
        SELECT greatest(0, least(
            locked.ready - locked.claimed, locked.max_in_flight - locked.in_flight - locked.claimed
        )) AS jobs
    ) AS room CROSS JOIN LATERAL (
        SELECT least(room.jobs, gate.most, 1 + gate.most / (SELECT greatest(1, count(*)) FROM lowest)) AS jobs
    ) AS share
    WHERE locked.subject_id = locked.tenant_id
), next AS MATERIALIZED (
    SELECT turns.tenant_id, turns.begins_at, turns.weight, turns.share, job.*
    FROM turns CROSS JOIN LATERAL (
        SELECT job.id, job.key_id, job.rank_at, job.takeovers > 1 AS suspect, greatest(job.held_micro, $4) AS cost
        FROM jobs AS job
        WHERE job.tenant_id = turns.tenant_id AND job.ready AND job.owner IS NULL
            AND (job.deadline_at IS NULL OR job.deadline_at > now())
            AND {MAY_SUBMIT}
            AND (job.takeovers < 2 OR {HANDS_FREE})
        ORDER BY job.rank_at
        LIMIT turns.seen
        FOR UPDATE OF job SKIP LOCKED
    ) AS job
), outside AS MATERIALIZED (
    SELECT job.id, job.key_id, job.rank_at, key.max_in_flight - key.in_flight - key.ready AS free
    FROM locked AS key CROSS JOIN gate CROSS JOIN LATERAL (
        SELECT id, key_id, rank_at FROM jobs AS job
        WHERE job.key_id = key.subject_id AND {_ASIDE}
        ORDER BY job.rank_at
        LIMIT CASE WHEN key.kept_out AND NOT {_PAUSED.format("key")}
            THEN greatest(0, least(gate.most + {PASSED_MAX}, key.max_in_flight - key.in_flight - key.claimed)) ELSE 0
        END
        FOR UPDATE OF job SKIP LOCKED
    ) AS job
    WHERE key.kept_out AND gate.most > 0
), numbered AS MATERIALIZED (
    SELECT
        next.*, row_number() OVER (PARTITION BY suspect ORDER BY rank_at, next.id) AS of_suspects,
        row_number() OVER (PARTITION BY key_id ORDER BY rank_at, next.id) + CASE WHEN key.max_in_flight IS NULL THEN 0 ELSE (
            SELECT count(*) FROM outside WHERE outside.key_id = next.key_id AND outside.rank_at < next.rank_at
        ) END <= coalesce(key.max_in_flight - key.in_flight - key.claimed, 2147483647) AS key_has_room
    FROM next LEFT JOIN locked AS key ON key.subject_id = next.key_id AND key.subject_id <> key.tenant_id
), allowed AS MATERIALIZED (
    SELECT * FROM (
        SELECT numbered.*, row_number() OVER (PARTITION BY tenant_id ORDER BY rank_at, id) AS of_tenant
        FROM numbered WHERE key_has_room AND (NOT suspect OR of_suspects = 1)
    ) AS roomy
    WHERE of_tenant <= share
), tagged AS MATERIALIZED (
    SELECT
        id, tenant_id, key_id, rank_at, ends_at - cost / weight AS begins_at, ends_at,
        row_number() OVER (PARTITION BY tenant_id ORDER BY ends_at DESC) = 1 AS last
    FROM (
        SELECT
            allowed.*,
            begins_at + sum(cost) OVER (PARTITION BY tenant_id ORDER BY rank_at, id ROWS UNBOUNDED PRECEDING) / weight
                AS ends_at
        FROM allowed
    ) AS summed
), horizon AS MATERIALIZED (
    SELECT min(tagged.ends_at) AS at
    FROM tagged JOIN turns ON turns.tenant_id = tagged.tenant_id AND tagged.last
    WHERE turns.share < turns.room
), chosen AS MATERIALIZED (
    SELECT tagged.* FROM tagged CROSS JOIN horizon
    WHERE tagged.begins_at <= coalesce(horizon.at, tagged.begins_at)
    ORDER BY tagged.begins_at, tagged.rank_at, tagged.id
    LIMIT (SELECT most FROM gate)
), taken AS MATERIALIZED (
    SELECT tenant_id, count(*) AS jobs, max(ends_at) AS ends_at FROM chosen GROUP BY tenant_id
), claimed AS (
    UPDATE jobs SET lease_until = now() + make_interval(secs => $3), owner = $2, fence = jobs.fence + 1
    WHERE id = ANY (ARRAY(SELECT id FROM chosen))
    RETURNING jobs.id, jobs.tenant_id, jobs.fence, jobs.model, jobs.retries, jobs.takeovers
), aside AS (
    UPDATE jobs SET ready = false, due_at = 'infinity'
    WHERE id = ANY (ARRAY(SELECT id FROM numbered WHERE NOT key_has_room))
    RETURNING jobs.tenant_id, jobs.key_id
), back AS (
    UPDATE jobs SET ready = true, due_at = jobs.created_at
    WHERE id = ANY (ARRAY(
        SELECT id FROM (
            SELECT outside.*, row_number() OVER (PARTITION BY key_id ORDER BY rank_at, id) AS place FROM outside
        ) AS older
        WHERE place <= coalesce(
            older.free + (SELECT count(*) FROM numbered WHERE numbered.key_id = older.key_id AND NOT key_has_room), place
        )
    ))
    RETURNING jobs.tenant_id, jobs.key_id
), counted AS (
    UPDATE queues SET
        queued = locked.queued, ready = locked.ready + moved.ready, claimed = locked.claimed + moved.claimed,
        virtual_time = greatest(locked.virtual_time, moved.ends_at)
    FROM locked JOIN (
        SELECT subject_id, sum(claimed) AS claimed, sum(ready) AS ready, max(ends_at) AS ends_at
        FROM (
            SELECT tenant_id, key_id, 1 AS claimed, 0 AS ready, ends_at FROM chosen
            UNION ALL
            SELECT tenant_id, key_id, 0, -1, NULL FROM aside
            UNION ALL
            SELECT tenant_id, key_id, 0, 1, NULL FROM back
        ) AS job
        CROSS JOIN LATERAL (VALUES (tenant_id), (key_id)) AS subject (subject_id)
        GROUP BY subject_id
    ) AS moved USING (subject_id)
    WHERE queues.subject_id = locked.subject_id
), left_over AS MATERIALIZED (
    SELECT min(begins_at) AS begins_at FROM (
        SELECT coalesce(taken.ends_at, turns.begins_at) AS begins_at
        FROM turns LEFT JOIN taken USING (tenant_id)
        WHERE turns.room > coalesce(taken.jobs, 0)
        UNION ALL
        SELECT virtual_time FROM in_turn WHERE place > (SELECT most + $5::bigint FROM gate)
    ) AS waiting
), passed AS (
    UPDATE upstream_state SET
        virtual_time = greatest(
            upstream_state.virtual_time,
            coalesce((SELECT begins_at FROM left_over), (SELECT max(begins_at) FROM chosen))
        ),
        tokens = gate.shared - (SELECT count(*) FROM chosen), read_tokens = gate.free,
        refilled_at = greatest(upstream_state.refilled_at, now())
    FROM gate WHERE EXISTS (SELECT FROM chosen)
), tallied AS (
    {count_granted("submits", "SELECT count(*) FROM chosen")}
), held AS MATERIALIZED (
    SELECT CASE WHEN
        NOT gate.paused AND gate.granted < $1 AND gate.most = gate.granted
        AND (SELECT count(*) FROM chosen) = gate.most
        AND CASE WHEN gate.most > 0 THEN EXISTS (SELECT FROM left_over WHERE begins_at IS NOT NULL)
            ELSE EXISTS (SELECT FROM queues WHERE runnable) OR EXISTS (SELECT FROM queues WHERE {KEY_HAS_ROOM}) END
    THEN {next_token_seconds("1 + gate.reads_due + gate.most - gate.shared", "gate.shared_rate", "gate.room - gate.most", "greatest(gate.resume_seconds, CASE WHEN gate.broken THEN 1 END)")}
    END AS wait_seconds, gate.alarmed
    FROM gate
)
SELECT
    job.*, held.wait_seconds, held.alarmed, extract(epoch FROM now())::double precision AS claim_at,
    (SELECT begins_at FROM left_over) IS NOT NULL AND (SELECT count(*) FROM chosen) < (SELECT most FROM gate)
        AND (job.id IS NOT NULL OR EXISTS (SELECT FROM aside))
        OR EXISTS (SELECT FROM back) AS more,
    NOT EXISTS (SELECT FROM chosen) AND EXISTS (
        SELECT FROM in_turn WHERE place > (SELECT most + $5::bigint FROM gate)
    ) AS hidden
FROM held LEFT JOIN (
    SELECT claimed.*, input.body, chosen.begins_at, chosen.rank_at
    FROM chosen JOIN claimed USING (id)
    CROSS JOIN LATERAL (SELECT body FROM job_inputs WHERE job_id = claimed.id LIMIT 1) AS input
) AS job ON true
ORDER BY job.begins_at, job.rank_at, job.id
"""  # noqa: S608


class Claimed(NamedTuple):
    """Claimed jobs in the order of their turns: id, tenant_id, fence, model, retries, takeovers, body. `more`: these are
    fewer than might go, and there is more to be had for whoever asks again. `hidden`: none of the tenants looked at has a
    job that may go, and there are others. `at`, `wait_seconds` and `alarmed` as in Taken."""

    rows: list[Row]
    more: bool
    at: float
    wait_seconds: float | None
    hidden: bool
    alarmed: bool = False


async def claim_queued(session: Session, *, owner: UUID, most: int, lease_seconds: float, beyond: int = 0) -> Claimed:
    """Up to `most` of the jobs in line. `beyond`: how many tenants to look at beside so many. One statement."""
    rows = await session.fetch(CLAIM_QUEUED, most, owner, lease_seconds, COST_MICRO_MIN, beyond)
    first = rows[0]
    return Claimed(
        [row for row in rows if row["id"] is not None],
        first["more"],
        first["claim_at"],
        first["wait_seconds"],
        first["hidden"],
        first["alarmed"],
    )
