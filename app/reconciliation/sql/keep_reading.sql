-- Which id does this new reading of the company's credits get?
INSERT INTO credit_readings (
    asked_at, at, paid_micro, free_micro, previous_id, spent_micro, least_micro, most_micro, topped_up_micro
)
VALUES (:asked_at, :at, :paid_micro, :free_micro, :previous_id, :spent_micro, :least_micro, :most_micro, :topped_up_micro) RETURNING id
