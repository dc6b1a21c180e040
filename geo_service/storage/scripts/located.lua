-- Set what the border knows of a device, or forget it; whoever keeps a copy finds the change by its version.
-- KEYS: located, located changed, located version   ARGV: device, answer or "" to forget
if ARGV[2] == '' then
  redis.call('HDEL', KEYS[1], ARGV[1])
else
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
end
redis.call('ZADD', KEYS[2], redis.call('INCR', KEYS[3]), ARGV[1])
return 1
