-- Atomic operations on sessions. The keys of a script share a hash tag, so each runs on one node of a Cluster.
--
-- Value of an epoch:   epoch (32 digits, of which the first 13 are its time), until (15), in a realm also idle (15) and lifetime (15).
-- Value of a session:  seen_at (15), refreshed_at (15), generation (10), owner's epoch (32), realm's epoch (32), other fields.
-- `until` is the latest expiry of the sessions opened in the epoch; all nines: one does not expire.
-- Times are the caller's, in digits of one width, so that they compare as text. Expiry in Redis only collects garbage.
--
-- A Redis whose memory is full (`maxmemory`, noeviction) rejects the first write of a script if it may need memory, and
-- admits all later ones. Scripts that revoke a session, or record its use, begin with a write that needs none: they set
-- the expiry of a key to its current value.

-- name: draw_realm
-- KEYS realm, and where the policy has a version, the version that counts. ARGV fresh epoch, until, lifetime in ms or '',
-- idle and lifetime of the policy, its version or 0, how long that is kept in ms.
local held = redis.call('GET', KEYS[1])
local value = ARGV[1] .. ARGV[2] .. ARGV[4]
local ttl = tonumber(ARGV[3])
local newer = KEYS[2] and tonumber(redis.call('GET', KEYS[2]) or '0') < tonumber(ARGV[5])
if held then
  -- A realm that was revoked before a session was opened in it has no policy yet.
  local policy = #held > 47 and not newer and string.sub(held, 48) or ARGV[4]
  local until_ = string.sub(held, 33, 47)
  if until_ < ARGV[2] then until_ = ARGV[2] end
  value = string.sub(held, 1, 32) .. until_ .. policy
  if value == held and not newer then return held end
  local left = redis.call('PTTL', KEYS[1])
  if left == -1 then ttl = nil elseif ttl then ttl = math.max(ttl, left) end
end
if ttl then redis.call('SET', KEYS[1], value, 'PX', ttl) else redis.call('SET', KEYS[1], value) end
if newer then redis.call('SET', KEYS[2], ARGV[5], 'PX', ARGV[6]) end
return value

-- name: open
-- KEYS epoch, session, index. ARGV fresh epoch, until, lifetime in ms or '', head, realm's epoch or '' for the owner's,
-- tail, id, opened at or '' for none of the index, cap or '', what the keys of the owner's sessions begin with, after what
-- moment a session is one of before the clock was set back: those go first.
local held = redis.call('GET', KEYS[1])
local epoch, until_, ttl = ARGV[1], ARGV[2], tonumber(ARGV[3])
local longest = ttl
if held then
  epoch = string.sub(held, 1, 32)
  if string.sub(held, 33, 47) > until_ then until_ = string.sub(held, 33, 47) end
  local left = redis.call('PTTL', KEYS[1])
  if left == -1 then longest = nil elseif longest then longest = math.max(longest, left) end
end
local realm = ARGV[5]
if realm == '' then realm = epoch end
local value = ARGV[4] .. epoch .. realm .. ARGV[6]
if longest then redis.call('SET', KEYS[1], epoch .. until_, 'PX', longest)
else redis.call('SET', KEYS[1], epoch .. until_) end
if ttl then redis.call('SET', KEYS[2], value, 'PX', ttl) else redis.call('SET', KEYS[2], value) end
if ARGV[8] ~= '' then redis.call('ZADD', KEYS[3], ARGV[8], ARGV[7]) end
if longest then redis.call('PEXPIRE', KEYS[3], longest) else redis.call('PERSIST', KEYS[3]) end
-- Sessions that ended with their realm stay in the index. One that a clock set back since dates later than a live session
-- becomes the oldest, so that it is evicted first.
if ARGV[8] ~= '' then
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[3], '(' .. ARGV[8], string.sub(ARGV[11], 2))) do
    if redis.call('GETRANGE', ARGV[10] .. id, 72, 103) ~= realm then redis.call('ZADD', KEYS[3], 0, id) end
  end
end
local evicted = {}
local over = ARGV[9] ~= '' and redis.call('ZCARD', KEYS[3]) - tonumber(ARGV[9]) or 0
if over > 0 then
  local surplus = redis.call('ZRANGEBYSCORE', KEYS[3], ARGV[11], '+inf', 'LIMIT', 0, over)
  for _, id in ipairs(surplus) do redis.call('ZREM', KEYS[3], id) end
  local oldest = #surplus < over and redis.call('ZPOPMIN', KEYS[3], over - #surplus) or {}
  for n = 1, #oldest, 2 do surplus[#surplus + 1] = oldest[n] end
  for _, id in ipairs(surplus) do
    local key = ARGV[10] .. id
    local gone = redis.call('GET', key)
    if gone then
      evicted[#evicted + 1] = gone
      redis.call('DEL', key)
    end
  end
end
return evicted

-- name: touch
-- KEYS session. ARGV seen_at, after what moment the one that is held is of before the clock was set back.
local seen = redis.call('GETRANGE', KEYS[1], 0, 14)
if seen ~= '' and (seen < ARGV[1] or seen > ARGV[2]) then
  local ttl = redis.call('PTTL', KEYS[1])
  if ttl > 0 then redis.call('PEXPIRE', KEYS[1], ttl) else redis.call('PERSIST', KEYS[1]) end
  redis.call('SETRANGE', KEYS[1], 0, ARGV[1])
end
return 0

-- name: rotate
-- KEYS session, epoch. ARGV realm's epoch or '' for the owner's, generation, the next one, now.
local epoch = redis.call('GETRANGE', KEYS[2], 0, 31)
local realm = ARGV[1] ~= '' and ARGV[1] or epoch
if redis.call('GETRANGE', KEYS[1], 30, 103) ~= ARGV[2] .. epoch .. realm then return 0 end
redis.call('SETRANGE', KEYS[1], 0, ARGV[4] .. ARGV[4] .. ARGV[3])
return 1

-- name: close
-- KEYS session, epoch, index. ARGV realm's epoch or '' for the owner's, id. Returns 1 if the session was valid.
local epoch = redis.call('GETRANGE', KEYS[2], 0, 31)
local realm = ARGV[1] ~= '' and ARGV[1] or epoch
local lived = epoch ~= '' and redis.call('GETRANGE', KEYS[1], 40, 103) == epoch .. realm
redis.call('ZREM', KEYS[3], ARGV[2])
redis.call('DEL', KEYS[1])
return lived and 1 or 0

-- name: end
-- KEYS epoch, index, where the index goes, kept session. ARGV epoch, until, fresh epoch, kept id or '', how many sessions
-- to remove at once, what the keys of the owner's sessions begin with.
-- Returns 0: the epoch is not current. 1: revoked and removed. 2: not revoked, since a session with a later expiry was
-- opened. 3: revoked, and some sessions are left for `sweep`.
local held = redis.call('GET', KEYS[1])
if not held or string.sub(held, 1, 32) ~= ARGV[1] then return 0 end
if string.sub(held, 33, 47) > ARGV[2] then return 2 end
local score = false
if ARGV[4] ~= '' and redis.call('GETRANGE', KEYS[4], 40, 71) == ARGV[1] then
  score = redis.call('ZSCORE', KEYS[2], ARGV[4])
end
if redis.call('EXISTS', KEYS[2]) == 1 then redis.call('RENAME', KEYS[2], KEYS[3]) end
if score then
  local ttl = redis.call('PTTL', KEYS[1])
  redis.call('SET', KEYS[1], ARGV[3] .. string.sub(held, 33), 'KEEPTTL')
  if redis.call('GETRANGE', KEYS[4], 72, 103) == ARGV[1] then redis.call('SETRANGE', KEYS[4], 72, ARGV[3]) end
  redis.call('SETRANGE', KEYS[4], 40, ARGV[3])
  redis.call('ZREM', KEYS[3], ARGV[4])
  redis.call('ZADD', KEYS[2], score, ARGV[4])
  if ttl > 0 then redis.call('PEXPIRE', KEYS[2], ttl) end
else
  redis.call('DEL', KEYS[1])
end
local ended = redis.call('ZPOPMIN', KEYS[3], ARGV[5])
for n = 1, #ended, 2 do redis.call('DEL', ARGV[6] .. ended[n]) end
return redis.call('EXISTS', KEYS[3]) == 1 and 3 or 1

-- name: renew
-- KEYS realm. ARGV epoch, until, fresh epoch. As `end`, but the policy stays.
local held = redis.call('GET', KEYS[1])
if not held or string.sub(held, 1, 32) ~= ARGV[1] then return 0 end
if string.sub(held, 33, 47) > ARGV[2] then return 2 end
local ttl = redis.call('PTTL', KEYS[1])
if ttl > 0 then redis.call('PEXPIRE', KEYS[1], ttl) else redis.call('PERSIST', KEYS[1]) end
redis.call('SET', KEYS[1], ARGV[3] .. string.rep('0', 15) .. string.sub(held, 48), 'KEEPTTL')
return 1

-- name: draw
-- KEYS epoch. ARGV fresh epoch, lifetime in ms. Draws an epoch without sessions, if there is none and memory
-- permits.
redis.pcall('SET', KEYS[1], ARGV[1] .. string.rep('0', 15), 'NX', 'PX', ARGV[2])
return 0

-- name: demand
-- KEYS as for `draw_realm`. ARGV fresh epoch, policy, its version or 0, lifetime in ms where there is none yet.
if KEYS[2] and tonumber(redis.call('GET', KEYS[2]) or '0') > tonumber(ARGV[3]) then return 0 end
local ttl = redis.call('PTTL', KEYS[1])
if ttl > 0 then redis.call('PEXPIRE', KEYS[1], ttl) else redis.call('PERSIST', KEYS[1]) end
if KEYS[2] then redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[4]) end
local held = redis.call('GET', KEYS[1])
if held then
  redis.call('SET', KEYS[1], string.sub(held, 1, 47) .. ARGV[2], 'KEEPTTL')
else
  redis.call('SET', KEYS[1], ARGV[1] .. string.rep('0', 15) .. ARGV[2], 'PX', ARGV[4])
end
return 0

-- name: sweep
-- KEYS index of revoked sessions. ARGV limit, what the keys of the owner's sessions begin with.
local found = redis.call('ZPOPMIN', KEYS[1], ARGV[1])
for n = 1, #found, 2 do redis.call('DEL', ARGV[2] .. found[n]) end
return #found / 2

-- name: revoke
-- KEYS epoch. ARGV epoch, or a time of 13 digits for every epoch drawn before it.
local held = redis.call('GETRANGE', KEYS[1], 0, 31)
if held == ARGV[1] or (#ARGV[1] == 13 and held ~= '' and string.sub(held, 1, 13) < ARGV[1]) then
  redis.call('DEL', KEYS[1])
end
return 0
