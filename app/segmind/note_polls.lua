-- What is known about these polls? KEYS: of the answered polls, then of the arrived ones. ARGV: how many are answered; how
-- long to keep what is known, in milliseconds; the interval before each answered poll in microseconds, or '' to begin anew.
-- A key holds the instant of the last answer (0: none yet), and up to two intervals before it (-1: the client had gone). Answers Redis' time, and what
-- each arrived poll found.
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000000 + time[2])
local answered, kept = tonumber(ARGV[1]), ARGV[2]
for i = 1, answered do
    local interval = ARGV[i + 2]
    local known = now
    if interval ~= '' then
        local last = string.match(redis.call('GET', KEYS[i]) or '', ' %-?%d+$') or ''
        known = now .. last .. ' ' .. interval
    end
    redis.call('SET', KEYS[i], known, 'PX', kept)
end
local told = {tonumber(now)}
for i = answered + 1, #KEYS do
    local known = redis.call('GET', KEYS[i])
    if known then
        -- until this poll is answered, no other one is held, and no interval is counted from an older answer
        redis.call('SET', KEYS[i], '0' .. (string.match(known, ' .*$') or ''), 'KEEPTTL')
    end
    told[#told + 1] = known
end
return told
