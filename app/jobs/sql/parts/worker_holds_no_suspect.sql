-- Whether the process :owner holds no suspect. A suspect, a job whose owner has died again and again, is claimed while its process
-- holds no other one: what kills its owners is found so, and the other jobs that they held are not blamed.
NOT EXISTS (
    SELECT FROM jobs AS held WHERE held.takeovers > 0 AND held.owner = :owner AND held.lease_until > now()
)
