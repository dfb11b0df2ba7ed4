-- How long does this transaction wait for each lock from now on?
SELECT set_config('lock_timeout', :seconds::integer || 's', true)
