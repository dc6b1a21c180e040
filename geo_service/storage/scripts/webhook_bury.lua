-- Move a delivery from the queue to the dead letters, once.
-- KEYS: queue, dead letters, state   ARGV: entry of the queue, attempts, reason, most dead letters, seconds they live
local found = redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1])
if #found == 0 then
  return 0
end
local fields = found[1][2]
fields[#fields + 1] = 'a'
fields[#fields + 1] = ARGV[2]
fields[#fields + 1] = 'r'
fields[#fields + 1] = ARGV[3]
redis.call('XADD', KEYS[2], '*', unpack(fields))
redis.call('XDEL', KEYS[1], ARGV[1])
redis.call('HINCRBY', KEYS[3], 'dead', 1)
local oldest = (tonumber(redis.call('TIME')[1]) - tonumber(ARGV[5])) * 1000
local lost = redis.call('XTRIM', KEYS[2], 'MAXLEN', ARGV[4])
  + redis.call('XTRIM', KEYS[2], 'MINID', string.format('%.0f', math.max(oldest, 0)))
redis.call('HINCRBY', KEYS[3], 'lost', lost)
redis.call('HDEL', KEYS[3], 'entry', 'attempts')
redis.call('EXPIRE', KEYS[2], ARGV[5])
return 1
