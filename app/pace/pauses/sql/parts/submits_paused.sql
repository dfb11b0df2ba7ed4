-- Whether a pause stops submits of {job}, a row of jobs. The probe of a pause may be sent despite it.
EXISTS (
    SELECT FROM pauses AS pause
    WHERE (pause.tenant_id IS NULL OR pause.tenant_id = {job}.tenant_id)
        AND (pause.model IS NULL OR pause.model = {job}.model)
        AND pause.probe_job_id IS DISTINCT FROM {job}.id
)
