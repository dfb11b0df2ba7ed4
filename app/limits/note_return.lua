-- When some process found Redis again first, and Redis' time now. All of them wait until the same instant after it.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
redis.call('SET', KEYS[1], string.format('%.0f', now), 'NX', 'PX', ARGV[1])
return {now, tonumber(redis.call('GET', KEYS[1]))}
