-- Give a device its token, unless it has one. The same token again is the same registration, tried again.
-- KEYS: devices, tokens   ARGV: device, digest of the token
local known = redis.call('HGET', KEYS[1], ARGV[1])
if known then
  return known == ARGV[2] and 1 or 0
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('HSET', KEYS[2], ARGV[2], ARGV[1])
return 1
