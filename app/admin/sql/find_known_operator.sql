-- Which operator, who is not revoked, has a key with one of these hashes?
SELECT {{ operator_columns }} FROM operators WHERE hash = ANY(:hashes) AND revoked_at IS NULL
