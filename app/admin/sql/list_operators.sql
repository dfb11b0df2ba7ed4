-- Which operators are or were there, in the order they were made?
SELECT {{ operator_columns }} FROM operators ORDER BY id
