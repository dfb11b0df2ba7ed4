-- KEYS: the buckets. ARGV: of each bucket its rate a minute, the most it holds, what the caller knows of it, and whether
-- that counts beside what is there (1), or only where there is nothing (0). Then the charges: a number of units, and two
-- buckets by their places, 0 for none; -1 for the second charges the first one afterwards, also beyond its room. Answers
-- for each charge whether it was made, and how full its buckets are then.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local used, rate, room, had, changed = {}, {}, {}, {}, {}
for i, key in ipairs(KEYS) do
    local at = 4 * i - 3
    rate[i], room[i] = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
    local known = math.min(room[i], tonumber(ARGV[at + 2]))
    local was, since = string.match(redis.call('GET', key) or '', '^(%d+) (%d+)$')
    local left = was and math.max(0, math.min(room[i], tonumber(was)) - math.max(0, now - since) * rate[i]) or 0
    had[i] = was
    changed[i] = known > left and (not was or ARGV[at + 3] == '1')
    used[i] = changed[i] and known or left
end
local told = {}
for at = 4 * #KEYS + 1, #ARGV, 3 do
    local units, one, two = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
    local fits = units < 0 or two < 0 or (used[one] + units <= room[one] and (two == 0 or used[two] + units <= room[two]))
    if fits and units ~= 0 then
        used[one] = math.max(0, used[one] + units)
        if two < 0 then
            used[one] = math.min(room[one], used[one])
        end
        changed[one] = true
        if two > 0 then
            used[two] = math.max(0, used[two] + units)
            changed[two] = true
        end
    end
    told[#told + 1] = fits and 1 or 0
    told[#told + 1] = used[one]
    told[#told + 1] = two > 0 and used[two] or 0
end
for i, key in ipairs(KEYS) do
    if changed[i] and used[i] > 0 then
        local left = math.ceil(used[i] / rate[i] / 1000) + 1000
        redis.call('SET', key, string.format('%.0f %.0f', used[i], now), 'PX', string.format('%.0f', left))
    elseif changed[i] and had[i] then
        redis.call('DEL', key)
    end
end
return told
