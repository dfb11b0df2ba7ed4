-- Which operators exist, including revoked ones, in the order of their creation?
SELECT {{ operator_columns }} FROM operators ORDER BY id
