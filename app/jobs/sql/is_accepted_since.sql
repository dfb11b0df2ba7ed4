-- Did the upstream accept a submit after it had refused this job because of the account?
SELECT EXISTS (
    SELECT FROM attempts JOIN upstream_exchanges AS exchange ON exchange.at > attempts.settled_at
    WHERE attempts.job_id = :job_id AND attempts.outcome = 'account'
        AND exchange.kind = 'submit' AND exchange.outcome = 'accepted'
)
