-- Whether the tenant of {queue} is paused as a whole. Then what is parked need not be looked through.
EXISTS (SELECT FROM pauses AS whole WHERE whole.tenant_id = {queue}.tenant_id AND whole.model IS NULL)
