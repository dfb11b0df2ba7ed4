-- Which operator has this id or this name?
SELECT {{ operator_columns }} FROM operators WHERE id = :operator_id OR name = :name
