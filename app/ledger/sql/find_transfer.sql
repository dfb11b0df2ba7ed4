-- Does a transfer have this id?
SELECT true FROM transfers WHERE id = :id
