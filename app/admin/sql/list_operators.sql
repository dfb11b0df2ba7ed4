-- Which operators exist, also revoked ones, in the order of creation?
SELECT {{ operator_columns }} FROM operators ORDER BY id
