-- The columns of a Model, in a SELECT from models or after RETURNING.
slug, title, modality, schema, price_micro, price_rule, markup_micro, cost_micro, run_seconds, enabled, disabled_reason,
retired_at, updated_at
