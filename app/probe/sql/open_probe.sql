-- What is recorded before a probe is sent?
INSERT INTO probes (id, model, body, max_cost_micro, asked_by) VALUES (:probe_id, :model, :body, :max_cost_micro, :asked_by)
