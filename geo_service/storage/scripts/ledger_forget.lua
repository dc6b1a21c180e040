-- Take counters out of the ledger, and the claims on them out of its records; what else those claim stays.
-- KEYS: counters, records, due   ARGV: counters, as MessagePack; records that claim them, as MessagePack
local counters = cmsgpack.unpack(ARGV[1])
local gone = {}
for _, name in ipairs(counters) do
  gone[name] = true
  redis.call('HDEL', KEYS[1], name)
  redis.call('ZREM', KEYS[3], 'c' .. name)
end
for _, key in ipairs(cmsgpack.unpack(ARGV[2])) do
  local packed = redis.call('HGET', KEYS[2], key)
  if packed then
    local record = cmsgpack.unpack(packed)
    if gone[record[2]] then
      -- It was refused for this counter, and stays refused; for what, nobody needs to know any more.
      record[2] = '-'
    end
    local claims, kept = record[7], {}
    for at = 1, #claims, 3 do
      if not gone[claims[at]] then
        kept[#kept + 1] = claims[at]
        kept[#kept + 1] = claims[at + 1]
        kept[#kept + 1] = claims[at + 2]
      end
    end
    record[7] = kept
    redis.call('HSET', KEYS[2], key, cmsgpack.pack(record))
  end
end
return 1
