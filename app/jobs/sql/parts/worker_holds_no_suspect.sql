-- Whether the process :owner holds no suspect, a job whose owners have died while they held it. A process claims one suspect at a
-- time: if it dies again, this shows which job kills it, and other suspects are not blamed.
NOT EXISTS (
    SELECT FROM jobs AS held WHERE held.takeovers > 0 AND held.owner = :owner AND held.lease_until > now()
)
