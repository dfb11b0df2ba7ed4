CREATE TABLE probes (
    id uuid NOT NULL,
    model text NOT NULL,
    body bytea NOT NULL,
    max_cost_micro bigint NOT NULL,
    asked_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    sent_at timestamptz,
    outcome text NOT NULL DEFAULT 'unknown',
    upstream_id text,
    cost_micro bigint,
    ended_at timestamptz,
    note text NOT NULL DEFAULT '',
    seen jsonb,
    CONSTRAINT probes_pkey PRIMARY KEY (id),
    CONSTRAINT probes_outcome_check CHECK (outcome IN ('unknown', 'completed', 'failed', 'refused', 'not_sent')),
    CONSTRAINT probes_ended_check CHECK ((outcome = 'unknown') = (ended_at IS NULL)),
    CONSTRAINT probes_sent_check CHECK (upstream_id IS NULL OR sent_at IS NOT NULL),
    CONSTRAINT probes_known_check CHECK (outcome NOT IN ('completed', 'failed') OR upstream_id IS NOT NULL),
    CONSTRAINT probes_amounts_check CHECK (max_cost_micro >= 0 AND cost_micro >= 0)
)

COMMENT ON TABLE probes IS 'Real jobs at the upstream that operators asked for, to see how it behaves. They are no tenant''s.'

COMMENT ON COLUMN probes.body IS 'the parameters, as they were sent'

COMMENT ON COLUMN probes.max_cost_micro IS 'what the operator allowed, in micro-credits'

COMMENT ON COLUMN probes.sent_at IS 'committed just before the first byte; null: nothing was sent'

COMMENT ON COLUMN probes.upstream_id IS 'null: the upstream did not accept it, or its answer was lost'

COMMENT ON COLUMN probes.cost_micro IS 'what the upstream charged, in micro-credits; null: not known'

COMMENT ON COLUMN probes.ended_at IS 'when its end was seen'

COMMENT ON COLUMN probes.note IS 'why it ended so, or why it was not watched to its end'

COMMENT ON COLUMN probes.seen IS 'all that it saw: shapes without values'

CREATE INDEX probes_upstream_id_idx ON probes (upstream_id)

CREATE INDEX probes_sent_at_idx ON probes (sent_at)

CREATE TABLE upstream_facts (
    name text NOT NULL,
    value jsonb NOT NULL,
    learned_at timestamptz NOT NULL DEFAULT now(),
    probe_id uuid NOT NULL,
    CONSTRAINT upstream_facts_pkey PRIMARY KEY (name),
    CONSTRAINT upstream_facts_probe_id_fkey FOREIGN KEY (probe_id) REFERENCES probes (id),
    CONSTRAINT upstream_facts_name_check CHECK (name IN (
        'history_lag_seconds', 'history_end_lag_seconds', 'history_cost_lag_seconds', 'history_shows_pending',
        'history_body_form', 'history_adds_defaults', 'history_body_fits', 'history_instant_form',
        'history_paging_keys', 'history_finds_by_id', 'history_rows', 'status_code_while_running',
        'status_code_of_completed', 'status_code_of_failed', 'result_code_while_running',
        'result_code_of_completed', 'result_code_of_failed', 'limit_headers', 'polls_are_counted'
    ))
)

COMMENT ON TABLE upstream_facts IS 'What the last probe that could see it has learned of the upstream.'

CREATE INDEX upstream_facts_probe_id_idx ON upstream_facts (probe_id)

GRANT SELECT, INSERT, UPDATE ON probes, upstream_facts TO waystation_service
