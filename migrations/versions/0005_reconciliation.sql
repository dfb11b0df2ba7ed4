CREATE TABLE reconciliations (
    id bigint GENERATED ALWAYS AS IDENTITY,
    asked_by text,
    started_at timestamptz NOT NULL DEFAULT now(),
    lease_until timestamptz,
    finished_at timestamptz,
    since timestamptz NOT NULL,
    until timestamptz NOT NULL,
    read_until timestamptz,
    result text,
    detail text NOT NULL DEFAULT '',
    history_rows integer NOT NULL DEFAULT 0,
    skipped integer NOT NULL DEFAULT 0,
    compared integer NOT NULL DEFAULT 0,
    filled integer NOT NULL DEFAULT 0,
    adjusted_micro bigint NOT NULL DEFAULT 0,
    topped_up_micro bigint NOT NULL DEFAULT 0,
    found integer NOT NULL DEFAULT 0,
    settled integer NOT NULL DEFAULT 0,
    CONSTRAINT reconciliations_pkey PRIMARY KEY (id),
    CONSTRAINT reconciliations_result_check CHECK (
        result IN ('agrees', 'differs', 'cut', 'incomplete', 'abandoned')
    ),
    CONSTRAINT reconciliations_window_check CHECK (since < until),
    CONSTRAINT reconciliations_finished_check CHECK ((finished_at IS NULL) = (result IS NULL)),
    CONSTRAINT reconciliations_lease_check CHECK (finished_at IS NOT NULL OR lease_until IS NOT NULL)
)

CREATE UNIQUE INDEX reconciliations_running_idx ON reconciliations ((finished_at IS NULL)) WHERE finished_at IS NULL

CREATE TABLE discrepancies (
    id bigint GENERATED ALWAYS AS IDENTITY,
    kind text NOT NULL,
    subject text NOT NULL,
    job_id uuid,
    tenant_id uuid,
    upstream_id text,
    model text,
    ours_micro bigint,
    theirs_micro bigint,
    happened_at timestamptz,
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now(),
    settled_at timestamptz,
    accepted_at timestamptz,
    accepted_note text,
    CONSTRAINT discrepancies_pkey PRIMARY KEY (id),
    CONSTRAINT discrepancies_kind_check CHECK (
        kind IN (
            'balance', 'credits', 'cost', 'cost_unknown', 'missing', 'not_ours', 'second_start', 'lost_start'
        )
    ),
    CONSTRAINT discrepancies_accepted_check CHECK ((accepted_at IS NULL) = (accepted_note IS NULL)),
    CONSTRAINT discrepancies_kind_subject_key UNIQUE (kind, subject)
)

CREATE INDEX discrepancies_open_idx ON discrepancies (last_seen_at)
WHERE settled_at IS NULL AND accepted_at IS NULL

CREATE TABLE credit_readings (
    id bigint GENERATED ALWAYS AS IDENTITY,
    asked_at timestamptz NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    paid_micro bigint NOT NULL,
    free_micro bigint NOT NULL,
    previous_id bigint,
    spent_micro bigint,
    least_micro bigint,
    most_micro bigint,
    topped_up_micro bigint NOT NULL DEFAULT 0,
    CONSTRAINT credit_readings_pkey PRIMARY KEY (id),
    CONSTRAINT credit_readings_previous_id_fkey FOREIGN KEY (previous_id) REFERENCES credit_readings (id),
    CONSTRAINT credit_readings_previous_check CHECK (
        (previous_id IS NULL) = (spent_micro IS NULL) AND (previous_id IS NULL) = (least_micro IS NULL)
        AND (previous_id IS NULL) = (most_micro IS NULL)
    )
)

CREATE INDEX credit_readings_previous_id_idx ON credit_readings (previous_id)

CREATE INDEX upstream_observations_upstream_id_idx ON upstream_observations (upstream_id)

-- squawk-ignore require-concurrent-index-creation
CREATE INDEX jobs_times_idx ON jobs USING brin (sent_at, finished_at)
    WITH (pages_per_range = 32, autosummarize = on)

COMMENT ON COLUMN reconciliations.asked_by IS 'who asked for it; null: it was due'

COMMENT ON COLUMN reconciliations.lease_until IS 'until when its process is believed to be alive'

COMMENT ON COLUMN reconciliations.until IS 'the window, in which the requests compared were accepted'

COMMENT ON COLUMN reconciliations.read_until IS 'up to where the history was compared; null: it was not'

COMMENT ON COLUMN reconciliations.detail IS 'what could not be read, and why'

COMMENT ON COLUMN reconciliations.history_rows IS 'rows of the history that were read'

COMMENT ON COLUMN reconciliations.skipped IS 'rows of the history that name no request, or no time'

COMMENT ON COLUMN reconciliations.compared IS 'requests whose cost was compared'

COMMENT ON COLUMN reconciliations.filled IS 'costs that only the history has told'

COMMENT ON COLUMN reconciliations.adjusted_micro IS 'given back to tenants by that'

COMMENT ON COLUMN reconciliations.topped_up_micro IS 'credits that came in, at least'

COMMENT ON COLUMN reconciliations.found IS 'discrepancies that are new'

COMMENT ON COLUMN reconciliations.settled IS 'discrepancies that are no more'

COMMENT ON COLUMN discrepancies.subject IS 'the upstream''s request id, a tenant''s id or a reading''s number'

COMMENT ON COLUMN discrepancies.ours_micro IS 'null: we do not know'

COMMENT ON COLUMN discrepancies.theirs_micro IS 'null: they do not know'

COMMENT ON COLUMN discrepancies.happened_at IS 'when the request was accepted, or the later reading taken'

COMMENT ON COLUMN discrepancies.settled_at IS 'when it was found to be no more'

COMMENT ON COLUMN discrepancies.accepted_at IS 'when an operator had seen to it; told anew where the amounts change'

COMMENT ON COLUMN credit_readings.asked_at IS 'just before the upstream was asked'

COMMENT ON COLUMN credit_readings.at IS 'just after it had answered'

COMMENT ON COLUMN credit_readings.spent_micro IS 'what is less than at the reading before'

COMMENT ON COLUMN credit_readings.least_micro IS 'recorded costs that must be in it'

COMMENT ON COLUMN credit_readings.most_micro IS 'with those that may be in it'

COMMENT ON COLUMN credit_readings.topped_up_micro IS 'what came in, at least'

GRANT SELECT, INSERT, UPDATE ON reconciliations, discrepancies TO waystation_service

GRANT SELECT, INSERT ON credit_readings TO waystation_service
