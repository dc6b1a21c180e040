-- Move a reader's position forward, never back.
-- KEYS: readers   ARGV: reader, milliseconds, sequence
local ms, seq = string.match(redis.call('HGET', KEYS[1], ARGV[1]) or '0-0', '(%d+)-(%d+)')
ms, seq = tonumber(ms), tonumber(seq)
local to_ms, to_seq = tonumber(ARGV[2]), tonumber(ARGV[3])
if to_ms > ms or (to_ms == ms and to_seq > seq) then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. '-' .. ARGV[3])
end
return 1
