-- Budgets and failures. Times are the caller's, in ms; lifetimes in Redis collect garbage only, with some slack.
-- Lua writes large numbers with an exponent, hence the formats.

-- name: take
-- KEYS budget. ARGV now, period, burst, slack. GCRA: the value is when the budget will be full again.
local now, period = tonumber(ARGV[1]), tonumber(ARGV[2])
local full = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now) + period
local wait = full - now - period * tonumber(ARGV[3])
if wait > 0 then return wait end
redis.call('SET', KEYS[1], string.format('%.0f', full), 'PX', string.format('%.0f', full - now + tonumber(ARGV[4])))
return 0

-- name: reserve
-- KEYS attempts. ARGV now, lease, cap, free, slack. Returns 1, or 0 with failures and until when they block.
local now, lease, cap, free = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local held = redis.call('HMGET', KEYS[1], 'failures', 'pending', 'lease', 'blocked', 'expires')
local failures, pending = tonumber(held[1] or '0'), tonumber(held[2] or '0')
local leased, blocked, expires = tonumber(held[3] or '0'), tonumber(held[4] or '0'), tonumber(held[5] or '0')
if expires <= now then
  failures, blocked = 0, 0
elseif blocked > now or failures >= cap or (leased > now and pending > 0 and pending >= free - failures) then
  return {0, failures, blocked}
end
if leased <= now then pending = 0 end
expires = math.max(expires, now + lease)
redis.call('HSET', KEYS[1], 'failures', failures, 'pending', pending + 1, 'lease', string.format('%.0f', now + lease),
  'blocked', string.format('%.0f', blocked), 'expires', string.format('%.0f', expires))
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', expires - now + tonumber(ARGV[5])))
return {1, failures, blocked}

-- name: settle
-- KEYS attempts. ARGV now, free, first, longest, doublings, cap, memory, slack.
local now, free, longest, memory = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[4]), tonumber(ARGV[7])
local held = redis.call('HMGET', KEYS[1], 'failures', 'pending')
local failures, pending = tonumber(held[1] or '0'), tonumber(held[2] or '0')
local wait = 0
if failures >= free + tonumber(ARGV[5]) then wait = longest
elseif failures >= free then wait = tonumber(ARGV[3]) * 2 ^ (failures - free) end
if failures + 1 >= tonumber(ARGV[6]) then memory = 100 * memory end
redis.call('HSET', KEYS[1], 'failures', failures + 1, 'pending', math.max(pending - 1, 0),
  'blocked', string.format('%.0f', now + wait), 'expires', string.format('%.0f', now + memory))
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', memory + tonumber(ARGV[8])))
return 0

-- name: release
-- KEYS attempts.
if tonumber(redis.call('HGET', KEYS[1], 'pending') or '0') > 0 then redis.call('HINCRBY', KEYS[1], 'pending', -1) end
return 0

-- name: forget
-- KEYS attempts.
if tonumber(redis.call('HGET', KEYS[1], 'pending') or '0') <= 1 then return redis.call('DEL', KEYS[1]) end
redis.call('HINCRBY', KEYS[1], 'pending', -1)
return redis.call('HSET', KEYS[1], 'failures', 0, 'blocked', 0)

-- name: surrender
-- KEYS attempts. Returns failures, until when they block, and when they expire, of what is gone now.
local held = redis.call('HMGET', KEYS[1], 'failures', 'blocked', 'expires')
redis.call('DEL', KEYS[1])
return {tonumber(held[1] or '0'), tonumber(held[2] or '0'), tonumber(held[3] or '0')}

-- name: inherit
-- KEYS attempts. ARGV now, failures, blocked, expires, slack.
local held = redis.call('HMGET', KEYS[1], 'failures', 'blocked', 'expires')
local blocked = math.max(tonumber(held[2] or '0'), tonumber(ARGV[3]))
local expires = math.max(tonumber(held[3] or '0'), tonumber(ARGV[4]))
redis.call('HSET', KEYS[1], 'failures', tonumber(held[1] or '0') + tonumber(ARGV[2]),
  'blocked', string.format('%.0f', blocked), 'expires', string.format('%.0f', expires))
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', expires - tonumber(ARGV[1]) + tonumber(ARGV[5])))
return 0
