-- One step of the fold, if the partition is still the caller's.
-- KEYS: epoch, outputs, current, staged, checkpoint, names
-- ARGV: epoch, 1 if a checkpoint is staged, count of outputs, (id, bytes)…, count of values, (name, value)…, names to remove…
-- Returns 1, or 0 when another worker has taken the partition over.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  redis.call('DEL', KEYS[4])
  return 0
end
local at = 4
for _ = 1, tonumber(ARGV[3]) do
  local reply = redis.pcall('XADD', KEYS[2], ARGV[at], 'd', ARGV[at + 1])
  -- An id that is not newer than the last is refused: this entry's outputs were written before a crash.
  if type(reply) == 'table' and reply.err and not string.find(reply.err, 'equal or smaller', 1, true) then
    return reply
  end
  at = at + 2
end
local values = tonumber(ARGV[at])
at = at + 1
for _ = 1, values do
  if redis.call('HSET', KEYS[3], ARGV[at], ARGV[at + 1]) == 1 then
    redis.call('ZADD', KEYS[6], 0, ARGV[at])
  end
  at = at + 2
end
for removed = at, #ARGV do
  if redis.call('HDEL', KEYS[3], ARGV[removed]) == 1 then
    redis.call('ZREM', KEYS[6], ARGV[removed])
  end
end
-- The state was sent beside this script, within the same transaction: megabytes need not pass through Lua.
if ARGV[2] == '1' then
  redis.call('RENAME', KEYS[4], KEYS[5])
end
return 1
