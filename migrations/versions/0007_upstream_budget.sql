ALTER TABLE upstream_state
    ADD COLUMN rate double precision NOT NULL DEFAULT 20,
    ADD COLUMN limit_per_minute double precision,
    ADD COLUMN tokens double precision NOT NULL DEFAULT 0,
    ADD COLUMN read_tokens double precision NOT NULL DEFAULT 0,
    ADD COLUMN refilled_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN cut_at timestamptz NOT NULL DEFAULT 'epoch',
    ADD COLUMN resume_at timestamptz NOT NULL DEFAULT 'epoch',
    ADD COLUMN ramp_seconds double precision NOT NULL DEFAULT 0,
    ADD COLUMN relapses integer NOT NULL DEFAULT 0,
    ADD COLUMN doubt double precision NOT NULL DEFAULT 0,
    ADD COLUMN trial_reads integer NOT NULL DEFAULT 0,
    ADD COLUMN trial_at timestamptz NOT NULL DEFAULT 'epoch',
    ADD COLUMN minute_seen boolean NOT NULL DEFAULT false,
    ADD COLUMN learned_at timestamptz NOT NULL DEFAULT 'epoch',
    ADD COLUMN broken_at timestamptz,
    ADD COLUMN judged_at timestamptz NOT NULL DEFAULT 'epoch',
    ADD COLUMN ease_rate double precision NOT NULL DEFAULT 10000,
    ADD COLUMN ceiling_per_minute double precision,
    ADD COLUMN max_in_flight integer,
    ADD CONSTRAINT upstream_state_budget_check CHECK (
        rate > 0 AND limit_per_minute > 0 AND ease_rate > 0 AND ceiling_per_minute > 0 AND max_in_flight >= 0
    )

-- what a 429 says is no pause any more, but part of the budget
UPDATE upstream_state SET paused_until = NULL, paused_since = NULL, paused_reason = NULL, paused_detail = NULL, pauses = 0
WHERE paused_reason = 'throttled'

-- made again below, for the reason that is left
-- squawk-ignore ban-drop-constraint
ALTER TABLE upstream_state DROP CONSTRAINT upstream_state_paused_reason_check

-- one row
-- squawk-ignore constraint-missing-not-valid
ALTER TABLE upstream_state ADD CONSTRAINT upstream_state_paused_reason_check CHECK (paused_reason IN ('account'))

CREATE TABLE upstream_seconds (
    at timestamptz NOT NULL,
    submits integer NOT NULL DEFAULT 0,
    reads integer NOT NULL DEFAULT 0,
    refused_submits integer NOT NULL DEFAULT 0,
    refused_reads integer NOT NULL DEFAULT 0,
    answers integer NOT NULL DEFAULT 0,
    troubles integer NOT NULL DEFAULT 0,
    CONSTRAINT upstream_seconds_pkey PRIMARY KEY (at)
) WITH (fillfactor = 50)

CREATE INDEX jobs_expiry_idx ON jobs (submitted_at) WHERE state = 'running'

COMMENT ON COLUMN upstream_state.rate IS 'requests a second that may go out'

COMMENT ON COLUMN upstream_state.limit_per_minute IS 'what the upstream was last seen to take; null: it has never said 429'

COMMENT ON COLUMN upstream_state.tokens IS 'requests that might go out at refilled_at; below zero: a debt'

COMMENT ON COLUMN upstream_state.read_tokens IS 'the same for polls and fetches, while they do not count towards the limit'

COMMENT ON COLUMN upstream_state.cut_at IS 'when the last 429 was understood; those of requests sent before belong to it'

COMMENT ON COLUMN upstream_state.resume_at IS 'nothing that counts goes out before'

COMMENT ON COLUMN upstream_state.ramp_seconds IS 'for how long since then only the budget has held us back'

COMMENT ON COLUMN upstream_state.relapses IS '429s in a row, each soon after the one before'

COMMENT ON COLUMN upstream_state.doubt IS 'how unlikely it is, in nats, that polls and fetches count and none was refused'

COMMENT ON COLUMN upstream_state.trial_reads IS 'so many may go out before resume_at, to find that out'

COMMENT ON COLUMN upstream_state.trial_at IS 'no trial before'

COMMENT ON COLUMN upstream_state.minute_seen IS 'whether a reset was too far away for a bucket''s'

COMMENT ON COLUMN upstream_state.learned_at IS 'up to when the budget has been judged'

COMMENT ON COLUMN upstream_state.refilled_at IS 'the instant of tokens and read_tokens'

COMMENT ON COLUMN upstream_state.broken_at IS 'since when hardly anything is answered; null: all is well'

COMMENT ON COLUMN upstream_state.judged_at IS 'answers from before do not count in that'

COMMENT ON COLUMN upstream_state.ease_rate IS 'requests a second at most, after that; doubles until nobody feels it'

COMMENT ON COLUMN upstream_state.ceiling_per_minute IS 'as configured; null: none'

COMMENT ON COLUMN upstream_state.max_in_flight IS 'as configured, over all tenants; null: no limit'

COMMENT ON COLUMN upstream_seconds.submits IS 'granted'

COMMENT ON COLUMN upstream_seconds.reads IS 'polls and fetches, granted'

COMMENT ON COLUMN upstream_seconds.refused_submits IS 'of those: answered 429'

COMMENT ON COLUMN upstream_seconds.refused_reads IS 'of those: answered 429'

COMMENT ON COLUMN upstream_seconds.answers IS 'exchanges that came to an end, as far as anybody had reason to count'

COMMENT ON COLUMN upstream_seconds.troubles IS 'of those: without a usable answer'

GRANT SELECT, INSERT, UPDATE, DELETE ON upstream_seconds TO waystation_service
