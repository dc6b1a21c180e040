-- Put deliveries at the end of an endpoint's queue; what finds it full goes to the dead letters, and that is bounded too.
-- KEYS: queue, dead letters, state
-- ARGV: most in the queue, most dead letters, seconds both live, reason for what finds no room, (id, kind, queued at, body, offer)…
local room = tonumber(ARGV[1]) - redis.call('XLEN', KEYS[1])
local over = 0
for at = 5, #ARGV, 5 do
  if room > 0 then
    redis.call('XADD', KEYS[1], '*', 'i', ARGV[at], 'k', ARGV[at + 1], 't', ARGV[at + 2], 'd', ARGV[at + 3], 'o', ARGV[at + 4])
    room = room - 1
  else
    redis.call('XADD', KEYS[2], '*', 'i', ARGV[at], 'k', ARGV[at + 1], 't', ARGV[at + 2], 'd', ARGV[at + 3],
      'o', ARGV[at + 4], 'a', 0, 'r', ARGV[4])
    over = over + 1
  end
end
redis.call('EXPIRE', KEYS[1], ARGV[3])
if over > 0 then
  redis.call('HINCRBY', KEYS[3], 'overflowed', over)
  local lost = redis.call('XTRIM', KEYS[2], 'MAXLEN', ARGV[2])
  redis.call('HINCRBY', KEYS[3], 'lost', lost)
  redis.call('EXPIRE', KEYS[2], ARGV[3])
end
return over
