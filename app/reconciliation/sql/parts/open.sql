-- Whether {discrepancy} is still so, and no operator has seen to it.
({discrepancy}.settled_at IS NULL AND {discrepancy}.accepted_at IS NULL)
