-- Keeps the newest offers of one device, and each by its id.
-- KEYS: the device's offers   ARGV: prefix of an offer's key, how many to keep, for how long (s), device, (id, time ms, JSON, fate)…
-- One that is kept already stays as it is, its fate included.
local RECENT, PREFIX, KEPT, TTL = KEYS[1], ARGV[1], tonumber(ARGV[2]), ARGV[3]
for at = 5, #ARGV, 4 do
  if redis.call('ZADD', RECENT, 'NX', ARGV[at + 1], ARGV[at]) == 1 then
    local key = PREFIX .. ARGV[at]
    redis.call('HSET', key, 'offer', ARGV[at + 2], 'device', ARGV[4], 'fate', ARGV[at + 3])
    redis.call('EXPIRE', key, TTL)
  end
end
local over = redis.call('ZCARD', RECENT) - KEPT
if over > 0 then
  local popped = redis.call('ZPOPMIN', RECENT, over)
  for at = 1, #popped, 2 do
    redis.call('DEL', PREFIX .. popped[at])
  end
end
redis.call('EXPIRE', RECENT, TTL)
return 1
