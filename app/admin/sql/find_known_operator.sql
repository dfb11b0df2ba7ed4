-- Which operator has a key with one of these hashes, and is not revoked?
SELECT {{ operator_columns }} FROM operators WHERE hash = ANY(:hashes) AND revoked_at IS NULL
