-- Whether the process that last claimed {job} lives. Then it was not the job that killed it: an answer was lost.
EXISTS (
    SELECT FROM processes AS holder
    WHERE holder.id = {job}.owner AND holder.beat_at > now() - make_interval(secs => 0.6 * :lease_seconds)
)
