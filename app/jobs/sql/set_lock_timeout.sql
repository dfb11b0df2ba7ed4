-- How long does this transaction wait for a lock from here on?
SELECT set_config('lock_timeout', :seconds::integer || 's', true)
