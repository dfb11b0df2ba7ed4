-- Which grant of this tenant has this reference?
SELECT {{ transfer_columns }} FROM transfers WHERE tenant_id = :tenant_id AND reference = :reference
