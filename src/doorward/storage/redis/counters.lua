-- Rate limits and failed attempts. Times are the caller's, in ms. Expiry in Redis only collects garbage, with slack.
-- Numbers are formatted, since Lua writes large ones with an exponent.

-- name: take
-- KEYS budget. ARGV now, period, burst, how far ahead the value may lie to count, slack. GCRA: the value is when the
-- budget will be full again.
local now, period = tonumber(ARGV[1]), tonumber(ARGV[2])
local full, whole = tonumber(redis.call('GET', KEYS[1]) or '0'), period * tonumber(ARGV[3])
if full < now or full > now + tonumber(ARGV[4]) then full = now end
full = full + period
local wait = full - now - whole
if wait > 0 then return math.min(wait, whole) end
redis.call('SET', KEYS[1], string.format('%.0f', full), 'PX', string.format('%.0f', full - now + tonumber(ARGV[5])))
return 0

-- name: reserve
-- KEYS attempts. ARGV now, free, first, longest, doublings, cap, lease, how far clocks may be apart, slack. Returns 1, or
-- 0 with the failures and the end of their block. A block or lease further ahead than its own length plus the difference
-- of clocks is ignored.
local now, free, cap = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[6])
local lease, apart = tonumber(ARGV[7]), tonumber(ARGV[8])
local held = redis.call('HMGET', KEYS[1], 'failures', 'pending', 'lease', 'blocked', 'expires')
local failures, pending = tonumber(held[1] or '0'), tonumber(held[2] or '0')
local leased, blocked, expires = tonumber(held[3] or '0'), tonumber(held[4] or '0'), tonumber(held[5] or '0')
if leased <= now or leased > now + lease + apart then pending = 0 end
local wait = 0
if failures > free + tonumber(ARGV[5]) then wait = tonumber(ARGV[4])
elseif failures > free then wait = tonumber(ARGV[3]) * 2 ^ (failures - 1 - free) end
if expires <= now then
  failures, blocked = 0, 0
elseif failures >= cap or (wait > 0 and blocked > now and blocked <= now + wait + apart)
  or (pending > 0 and pending >= free - failures) then
  return {0, failures, blocked}
end
expires = math.max(expires, now + lease)
redis.call('HSET', KEYS[1], 'failures', failures, 'pending', pending + 1, 'lease', string.format('%.0f', now + lease),
  'blocked', string.format('%.0f', blocked), 'expires', string.format('%.0f', expires))
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', expires - now + tonumber(ARGV[9])))
return {1, failures, blocked}

-- name: settle
-- KEYS attempts. ARGV now, free, first, longest, doublings, cap, memory, memory of one failure, 1 for an unknown name,
-- slack. Returns the failures. Empty fields are removed, since most counters have one failure.
local now, free, longest, memory = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[4]), tonumber(ARGV[7])
local held = redis.call('HMGET', KEYS[1], 'failures', 'pending')
local failures, pending = tonumber(held[1] or '0'), tonumber(held[2] or '0')
local wait = 0
if failures >= free + tonumber(ARGV[5]) then wait = longest
elseif failures >= free then wait = tonumber(ARGV[3]) * 2 ^ (failures - free) end
failures = failures + 1
if failures >= tonumber(ARGV[6]) then memory = 100 * memory
else memory = math.min(memory, tonumber(ARGV[8]) * failures) end
redis.call('HSET', KEYS[1], 'failures', failures, 'expires', string.format('%.0f', now + memory))
if pending > 1 then redis.call('HSET', KEYS[1], 'pending', pending - 1)
else redis.call('HDEL', KEYS[1], 'pending', 'lease') end
if wait > 0 then redis.call('HSET', KEYS[1], 'blocked', string.format('%.0f', now + wait))
else redis.call('HDEL', KEYS[1], 'blocked') end
if ARGV[9] == '1' then redis.call('HSET', KEYS[1], 'unknown', 1) else redis.call('HDEL', KEYS[1], 'unknown') end
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', memory + tonumber(ARGV[10])))
return failures

-- name: failures
-- KEYS attempts. Returns the failures, the end of their block, and their expiry.
local held = redis.call('HMGET', KEYS[1], 'failures', 'blocked', 'expires')
return {tonumber(held[1] or '0'), tonumber(held[2] or '0'), tonumber(held[3] or '0')}

-- name: release
-- KEYS attempts.
if tonumber(redis.call('HGET', KEYS[1], 'pending') or '0') > 0 then redis.call('HINCRBY', KEYS[1], 'pending', -1) end
return 0

-- name: forget
-- KEYS attempts.
if tonumber(redis.call('HGET', KEYS[1], 'pending') or '0') <= 1 then return redis.call('DEL', KEYS[1]) end
redis.call('HINCRBY', KEYS[1], 'pending', -1)
return redis.call('HSET', KEYS[1], 'failures', 0, 'blocked', 0)

-- name: clear
-- KEYS attempts. ARGV now.
local held = redis.call('HMGET', KEYS[1], 'pending', 'lease')
if tonumber(held[1] or '0') <= 0 or tonumber(held[2] or '0') <= tonumber(ARGV[1]) then
  return redis.call('DEL', KEYS[1])
end
redis.call('HDEL', KEYS[1], 'blocked', 'unknown')
return redis.call('HSET', KEYS[1], 'failures', 0)

-- name: evict
-- KEYS attempts. Returns 1 for the counter of an unknown name.
return redis.call('HEXISTS', KEYS[1], 'unknown') == 1 and redis.call('DEL', KEYS[1]) or 0

-- name: surplus
-- KEYS index of the unknown names of a realm. ARGV now, memory of one failure, memory, how young is fresh, how many names
-- there may be, how many to return, cap; times in seconds. Removes and returns the names beyond the limit.
-- Scores order by failures, then newer ones first.
local function score(failures, at) return string.format('%.0f', failures * 2 ^ 33 + 2 ^ 33 - 1 - at) end
local most, cap = tonumber(ARGV[5]), tonumber(ARGV[7])
if redis.call('ZCARD', KEYS[1]) <= most then return {} end
local now, once, memory, fresh = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
for failures = 1, cap - 1 do
  local last = now - math.min(memory, once * failures)
  redis.call('ZREMRANGEBYSCORE', KEYS[1], score(failures, last), score(failures, 0))
end
local surplus = math.min(redis.call('ZCARD', KEYS[1]) - most, tonumber(ARGV[6]))
local names = {}
for failures = 1, cap do
  if #names >= surplus then break end
  local old = {score(failures, now - fresh), score(failures, 0)}
  for _, name in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], old[1], old[2], 'LIMIT', 0, surplus - #names)) do
    names[#names + 1] = name
  end
end
if #names > 0 then redis.call('ZREM', KEYS[1], unpack(names)) end
if #names < surplus then
  local newest = redis.call('ZPOPMIN', KEYS[1], surplus - #names)
  for n = 1, #newest, 2 do names[#names + 1] = newest[n] end
end
return names

-- name: surrender
-- KEYS attempts. Removes a counter; returns its failures, the end of their block, its expiry, and 1 for an unknown name.
local held = redis.call('HMGET', KEYS[1], 'failures', 'blocked', 'expires', 'unknown')
redis.call('DEL', KEYS[1])
return {tonumber(held[1] or '0'), tonumber(held[2] or '0'), tonumber(held[3] or '0'), tonumber(held[4] or '0')}

-- name: inherit
-- KEYS attempts. ARGV now, failures, blocked, expires, 1 for an unknown name, slack.
local held = redis.call('HMGET', KEYS[1], 'failures', 'blocked', 'expires')
local failures, expires = tonumber(held[1] or '0'), tonumber(held[3] or '0')
if expires <= tonumber(ARGV[1]) then failures = 0 end
local blocked = math.max(tonumber(held[2] or '0'), tonumber(ARGV[3]))
expires = math.max(expires, tonumber(ARGV[4]))
redis.call('HSET', KEYS[1], 'failures', failures + tonumber(ARGV[2]),
  'blocked', string.format('%.0f', blocked), 'expires', string.format('%.0f', expires))
if ARGV[5] ~= '1' then redis.call('HDEL', KEYS[1], 'unknown') end
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', expires - tonumber(ARGV[1]) + tonumber(ARGV[6])))
return 0
