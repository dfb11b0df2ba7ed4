-- Whether the tenant of {queue} is paused for all models. Then its parked jobs need not be examined.
EXISTS (SELECT FROM pauses AS whole WHERE whole.tenant_id = {queue}.tenant_id AND whole.model IS NULL)
