-- Which of these ranges (both ends included) contain a balance that was read lately?
SELECT asked.number FROM unnest(:number::integer[], :low::bigint[], :high::bigint[]) AS asked (number, low, high)
WHERE EXISTS (
    SELECT FROM upstream_balances AS kept
    WHERE kept.micro BETWEEN asked.low AND asked.high AND kept.at > now() - make_interval(hours => :hours)
)
