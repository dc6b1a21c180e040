-- A stretch of a walk over all keys: those that are worth a closer look, seen where the data lies. There may be millions.
-- ARGV: cursor, pattern of keys, how many at once, words
-- Returns the next cursor, and the keys that hold a word in their name, a field, member or value, or that are too large for
-- a first look, or streams.
local LARGE = 1000
local function holds(text)
  for at = 4, #ARGV do
    if string.find(text, ARGV[at], 1, true) then
      return true
    end
  end
  return false
end

local read = {
  string = {'STRLEN', 1000, function(key) return {redis.call('GET', key)} end},
  hash = {'HLEN', 1, function(key) return redis.call('HGETALL', key) end},
  list = {'LLEN', 1, function(key) return redis.call('LRANGE', key, 0, -1) end},
  set = {'SCARD', 1, function(key) return redis.call('SMEMBERS', key) end},
  zset = {'ZCARD', 1, function(key) return redis.call('ZRANGE', key, 0, -1) end},
}
local function is_worth_it(key)
  local reader = read[redis.call('TYPE', key).ok]
  if not reader or holds(key) or redis.call(reader[1], key) > LARGE * reader[2] then
    return true
  end
  for _, text in ipairs(reader[3](key)) do
    if type(text) == 'string' and holds(text) then
      return true
    end
  end
  return false
end

local step = redis.call('SCAN', ARGV[1], 'MATCH', ARGV[2], 'COUNT', ARGV[3])
local found = {}
for _, key in ipairs(step[2]) do
  if is_worth_it(key) then
    found[#found + 1] = key
  end
end
return {step[1], found}
