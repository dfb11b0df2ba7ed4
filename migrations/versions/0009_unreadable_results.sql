ALTER TABLE jobs ADD COLUMN unreadable smallint NOT NULL DEFAULT 0

COMMENT ON COLUMN jobs.unreadable IS 'answers in a row that came whole and could not be read'

-- made again below, with two more codes
-- squawk-ignore ban-drop-constraint
ALTER TABLE jobs DROP CONSTRAINT jobs_error_code_check

-- reads the table once: `waystation verify` wants every constraint to hold for all rows
-- squawk-ignore constraint-missing-not-valid
ALTER TABLE jobs ADD CONSTRAINT jobs_error_code_check CHECK (
    error_code IN (
        'upstream_failed', 'content_blocked', 'upstream_rejected', 'upstream_unavailable', 'submission_unknown',
        'result_lost', 'result_too_large', 'result_unreadable', 'deadline_exceeded', 'poison'
    )
)

ALTER TABLE upstream_state ADD COLUMN alarmed_at timestamptz NOT NULL DEFAULT 'epoch'

COMMENT ON COLUMN upstream_state.alarmed_at IS 'when a process last suspected that the upstream is away; for ten seconds all tell what they hear'

CREATE TABLE upstream_health (
    job_id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    model text NOT NULL,
    at timestamptz NOT NULL,
    failed boolean NOT NULL,
    CONSTRAINT upstream_health_pkey PRIMARY KEY (job_id)
)

CREATE INDEX upstream_health_at_idx ON upstream_health (at)

COMMENT ON COLUMN upstream_health.job_id IS 'a job, or one request for our balance'

COMMENT ON COLUMN upstream_health.tenant_id IS 'zeros: the balance'

COMMENT ON COLUMN upstream_health.model IS 'empty: the balance'

COMMENT ON COLUMN upstream_health.at IS 'when its last exchange ended'

COMMENT ON COLUMN upstream_health.failed IS 'whether that was silence, a broken connection or a 5xx'

COMMENT ON COLUMN upstream_seconds.answers IS 'not counted any more; see upstream_health'

COMMENT ON COLUMN upstream_seconds.troubles IS 'not counted any more'

GRANT SELECT, INSERT, UPDATE, DELETE ON upstream_health TO waystation_service
