-- How is the usage of a past hour corrected?
INSERT INTO usage_hours AS hours (tenant_id, hour, key_id, model, charged_micro, cost_micro)
VALUES (:tenant_id, date_trunc('hour', :ended_at::timestamptz, 'UTC'), :key_id, :model, -:returned_micro::bigint, :cost_micro)
ON CONFLICT ON CONSTRAINT usage_hours_key DO UPDATE SET
    charged_micro = hours.charged_micro + excluded.charged_micro, cost_micro = hours.cost_micro + excluded.cost_micro
