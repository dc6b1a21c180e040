-- Append entries to one partition, once: a repeat under the same token gets the ids of the first time.
-- KEYS: log, append   ARGV: seconds to remember the token, then kind and body of each entry
local known = redis.call('GET', KEYS[2])
if known then
  return cmsgpack.unpack(known)
end
local ids = {}
for at = 2, #ARGV, 2 do
  ids[#ids + 1] = redis.call('XADD', KEYS[1], '*', 'k', ARGV[at], 'd', ARGV[at + 1])
end
redis.call('SET', KEYS[2], cmsgpack.pack(ids), 'EX', ARGV[1])
return ids
