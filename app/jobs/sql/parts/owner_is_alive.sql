-- Whether the process that last claimed {job} is alive. If so, the job did not kill it: the process only lost an answer.
EXISTS (
    SELECT FROM processes AS holder
    WHERE holder.id = {job}.owner AND holder.beat_at > now() - make_interval(secs => 0.6 * :lease_seconds)
)
