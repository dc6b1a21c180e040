-- Note what became of one offer's delivery. 1 where it was noted.
-- KEYS: the offer   ARGV: fate, when (ms)
-- An offer that is not kept any more is passed over. What reached the broker stays so, although after a crash it is sent
-- again and may be too late then. A phone asks as often as it likes: the first time counts.
if redis.call('EXISTS', KEYS[1]) == 0 then
  return 0
end
if ARGV[1] == 'pulled' then
  return redis.call('HSETNX', KEYS[1], 'pulled_ms', ARGV[2])
end
local had = redis.call('HGET', KEYS[1], 'fate')
if had == 'acknowledged' or (had == 'unheard' and ARGV[1] == 'expired') then
  return 0
end
redis.call('HSET', KEYS[1], 'fate', ARGV[1], 'fate_ms', ARGV[2])
return 1
