-- Whether submits of {job}, a row of jobs, are paused by another pause than the one with the id :pause_id.
EXISTS (
    SELECT FROM pauses AS pause
    WHERE (pause.tenant_id IS NULL OR pause.tenant_id = {job}.tenant_id)
        AND (pause.model IS NULL OR pause.model = {job}.model)
        AND pause.id <> :pause_id
)
