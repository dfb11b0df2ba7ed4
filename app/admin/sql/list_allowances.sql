-- What are the overdraft and the daily and monthly budget of each of these tenants or keys?
SELECT
    subject.id, coalesce(balance.overdraft, 0) AS overdraft,
    day.limit_micro AS daily_credits, month.limit_micro AS monthly_credits
FROM unnest(:subject_ids::uuid[]) AS subject (id)
LEFT JOIN balances AS balance ON balance.tenant_id = subject.id
LEFT JOIN budgets AS day ON day.subject_id = subject.id AND day.period = 'day'
LEFT JOIN budgets AS month ON month.subject_id = subject.id AND month.period = 'month'
