-- True if {discrepancy} is neither settled nor accepted by an operator.
({discrepancy}.settled_at IS NULL AND {discrepancy}.accepted_at IS NULL)
