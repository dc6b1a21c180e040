-- Note what a person said, once for each append; and whether they may be located, for the border.
-- KEYS: consents, located, located changed, located version
-- ARGV: device, token of the append, version of the text or "", JSON of the purposes, "yes", "no" or "" for location, how many are kept
local kept = redis.call('HGET', KEYS[1], ARGV[1])
local records = kept and cjson.decode(kept) or {}
for _, record in ipairs(records) do
  if record.token == ARGV[2] then
    return 0
  end
end
local clock = redis.call('TIME')
local record = {
  token = ARGV[2],
  at_ms = clock[1] * 1000 + math.floor(clock[2] / 1000),
  purposes = cjson.decode(ARGV[4]),
}
if ARGV[3] ~= '' then
  record.version = ARGV[3]
end
records[#records + 1] = record
while #records > tonumber(ARGV[6]) do
  table.remove(records, 1)
end
redis.call('HSET', KEYS[1], ARGV[1], cjson.encode(records))
if ARGV[5] ~= '' and redis.call('HGET', KEYS[2], ARGV[1]) ~= 'erased' then
  redis.call('HSET', KEYS[2], ARGV[1], ARGV[5])
  redis.call('ZADD', KEYS[3], redis.call('INCR', KEYS[4]), ARGV[1])
end
return 1
