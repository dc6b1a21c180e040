-- Take one token from a bucket.
-- KEYS: bucket   ARGV: tokens it can hold, milliseconds in which so many are gained
-- Returns 0, or the milliseconds until there is a token.
local size, window = tonumber(ARGV[1]), tonumber(ARGV[2])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + clock[2] / 1000
local bucket = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens, at = tonumber(bucket[1]) or size, tonumber(bucket[2]) or now
-- A clock that was set back gives nothing and takes nothing.
tokens = math.min(size, tokens + math.max(now - at, 0) * size / window)
local wait = 0
if tokens >= 1 then
  tokens = tokens - 1
else
  wait = math.ceil((1 - tokens) * window / size - 1e-6)
end
-- In full: whoever asks every millisecond must not lose what little each of them brings.
redis.call('HSET', KEYS[1], 'tokens', string.format('%.17g', tokens), 'at', string.format('%.3f', now))
redis.call('PEXPIRE', KEYS[1], math.max(1, math.ceil((size - tokens) * window / size)))
return wait
