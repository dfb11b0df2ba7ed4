ALTER TABLE attempts
    ADD COLUMN sender_done boolean NOT NULL DEFAULT false,
    ADD COLUMN resolution text,
    ADD COLUMN resolved_at timestamptz,
    ADD COLUMN contested boolean NOT NULL DEFAULT false

COMMENT ON COLUMN attempts.sender_done IS 'its sender has recorded all that it knows: no byte of it is sent any more'

COMMENT ON COLUMN attempts.resolution IS 'how an unknown outcome was resolved; null: it was not, or the sender learned it'

COMMENT ON COLUMN attempts.contested IS 'a request of the history may be this attempt or one of another tenant'

ALTER TABLE attempts ADD CONSTRAINT attempts_resolution_check CHECK (
    resolution IN ('adopted', 'proven_absent', 'timed_out', 'operator')
) NOT VALID

ALTER TABLE attempts ADD CONSTRAINT attempts_resolved_check CHECK ((resolution IS NULL) = (resolved_at IS NULL)) NOT VALID

ALTER TABLE jobs
    ADD COLUMN on_unknown text NOT NULL DEFAULT 'hold',
    ADD COLUMN recovered boolean NOT NULL DEFAULT false,
    ADD COLUMN withdrawn_at timestamptz

COMMENT ON COLUMN jobs.on_unknown IS 'resubmit: one more attempt once it is proven that the first did not arrive'

COMMENT ON COLUMN jobs.recovered IS 'its result came from the upstream''s history'

COMMENT ON COLUMN jobs.withdrawn_at IS 'when its result was found to be another job''s, and taken from it'

ALTER TABLE jobs ADD CONSTRAINT jobs_on_unknown_check CHECK (on_unknown IN ('hold', 'resubmit')) NOT VALID

-- made again below: a withdrawn job has no request of the upstream any more
-- squawk-ignore ban-drop-constraint
ALTER TABLE jobs DROP CONSTRAINT jobs_running_check

ALTER TABLE jobs ADD CONSTRAINT jobs_running_check CHECK (
    state NOT IN ('running', 'completed')
    OR (upstream_id IS NOT NULL AND submitted_at IS NOT NULL)
    OR (state = 'completed' AND withdrawn_at IS NOT NULL)
) NOT VALID

ALTER TABLE jobs ADD CONSTRAINT jobs_withdrawn_check CHECK (
    withdrawn_at IS NULL OR (finished_at IS NOT NULL AND upstream_id IS NULL AND charged_micro = 0)
) NOT VALID

CREATE TABLE history_watch (
    id boolean NOT NULL DEFAULT true,
    owner uuid,
    lease_until timestamptz,
    next_at timestamptz NOT NULL DEFAULT 'epoch',
    read_at timestamptz,
    lag_seconds double precision,
    resubmits_refuted_at timestamptz,
    CONSTRAINT history_watch_pkey PRIMARY KEY (id),
    CONSTRAINT history_watch_id_check CHECK (id),
    CONSTRAINT history_watch_owner_check CHECK ((owner IS NULL) = (lease_until IS NULL))
)

COMMENT ON TABLE history_watch IS 'One row: who reads the upstream''s history for unknown submissions, and when it is read next.'

COMMENT ON COLUMN history_watch.owner IS 'the incarnation of the worker that reads now'

COMMENT ON COLUMN history_watch.next_at IS 'no read before'

COMMENT ON COLUMN history_watch.read_at IS 'when the last whole read began'

COMMENT ON COLUMN history_watch.lag_seconds IS 'how old the newest request of ours was that the last read did not have'

COMMENT ON COLUMN history_watch.resubmits_refuted_at IS 'a request that was proven absent appeared: nothing is resubmitted any more'

INSERT INTO history_watch DEFAULT VALUES

CREATE TABLE late_requests (
    upstream_id text NOT NULL,
    sent_at timestamptz NOT NULL,
    missed_at timestamptz NOT NULL,
    seen_at timestamptz,
    CONSTRAINT late_requests_pkey PRIMARY KEY (upstream_id)
)

COMMENT ON TABLE late_requests IS 'Accepted requests of ours that a read of the history did not have although they were old enough.'

COMMENT ON COLUMN late_requests.missed_at IS 'when a read last did not have it'

COMMENT ON COLUMN late_requests.seen_at IS 'when a read first had it'

CREATE INDEX late_requests_sent_at_idx ON late_requests (sent_at)

CREATE TABLE contested_requests (
    upstream_id text NOT NULL,
    model text NOT NULL,
    happened_at timestamptz NOT NULL,
    seen_at timestamptz NOT NULL DEFAULT now(),
    settled_at timestamptz,
    CONSTRAINT contested_requests_pkey PRIMARY KEY (upstream_id)
)

COMMENT ON TABLE contested_requests IS 'Requests of the history that may belong to attempts of several tenants, so that nobody gets them.'

COMMENT ON COLUMN contested_requests.settled_at IS 'when it got an owner, or its cost became exposure'

CREATE INDEX contested_requests_open_idx ON contested_requests (happened_at) WHERE settled_at IS NULL

-- the release before never sees such a row: it joins the tenant or the job
-- squawk-ignore ban-drop-not-null
ALTER TABLE exposures ALTER COLUMN tenant_id DROP NOT NULL, ALTER COLUMN job_id DROP NOT NULL

-- made again below
-- squawk-ignore ban-drop-constraint
ALTER TABLE exposures DROP CONSTRAINT exposures_reason_check

ALTER TABLE exposures ADD CONSTRAINT exposures_reason_check CHECK (
    reason IN (
        'cost_above_hold', 'cost_above_price', 'failed', 'lost', 'unknown', 'second_start', 'corrected', 'unassigned'
    )
) NOT VALID

-- made again below: a correction may lower what was expected
-- squawk-ignore ban-drop-constraint
ALTER TABLE exposures DROP CONSTRAINT exposures_amount_check

ALTER TABLE exposures ADD CONSTRAINT exposures_amount_check CHECK (amount >= 0 OR reason = 'corrected') NOT VALID

ALTER TABLE exposures ADD CONSTRAINT exposures_owner_check CHECK (
    (job_id IS NULL) = (reason = 'unassigned') AND (tenant_id IS NULL) = (job_id IS NULL)
) NOT VALID

GRANT SELECT, UPDATE ON history_watch TO waystation_service

GRANT SELECT, INSERT, UPDATE ON contested_requests TO waystation_service

GRANT SELECT, INSERT, UPDATE, DELETE ON late_requests TO waystation_service
