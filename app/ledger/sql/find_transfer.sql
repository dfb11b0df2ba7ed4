-- Is there a transfer of this id?
SELECT true FROM transfers WHERE id = :id
