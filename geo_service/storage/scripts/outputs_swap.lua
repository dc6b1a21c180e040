-- Put a rewritten stream of outputs in the place of the old one, once it has everything that came meanwhile.
-- KEYS: outputs, rewritten   ARGV: id of the last output that was copied or left out, how many more may be copied here
-- Returns 1, or 0 when too many came: copy on and ask again.
local later = redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], '+', 'COUNT', tonumber(ARGV[2]) + 1)
if #later > tonumber(ARGV[2]) then
  return 0
end
for _, entry in ipairs(later) do
  redis.call('XADD', KEYS[2], entry[1], unpack(entry[2]))
end
-- The last id ever given must stay the last one: it is what refuses outputs that were written before a crash.
local info, last = redis.call('XINFO', 'STREAM', KEYS[1]), nil
for at = 1, #info, 2 do
  if info[at] == 'last-generated-id' then
    last = info[at + 1]
  end
end
local newest = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)
if #newest == 0 or newest[1][1] ~= last then
  redis.call('XADD', KEYS[2], last, 'd', '')
  redis.call('XDEL', KEYS[2], last)
end
redis.call('PERSIST', KEYS[2])
redis.call('RENAME', KEYS[2], KEYS[1])
return 1
