-- Was a submit accepted after this job had been refused for lack of credits?
SELECT EXISTS (
    SELECT FROM attempts JOIN upstream_exchanges AS exchange ON exchange.at > attempts.settled_at
    WHERE attempts.job_id = :job_id AND attempts.outcome = 'account'
        AND exchange.kind = 'submit' AND exchange.outcome = 'accepted'
)
