-- Whether a pause stops polls of {job}, a row of jobs.
EXISTS (
    SELECT FROM pauses AS pause
    WHERE pause.what = 'all'
        AND (pause.tenant_id IS NULL OR pause.tenant_id = {job}.tenant_id)
        AND (pause.model IS NULL OR pause.model = {job}.model)
)
