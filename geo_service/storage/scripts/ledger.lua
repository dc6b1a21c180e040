-- The ledger: the same rules as MemoryLedger in flow/ledger.py, held equal by a test over random histories.
-- KEYS: counters, records, due   ARGV: command, now (ms), window (ms), MessagePack of what to do
-- counter: {total, forget_ms}; forget_ms 0 for never, and telling one life of the counter from the next
-- record: {state, refused, drop_ms, expires_ms, was committed, was released, {counter, amount, forget_ms, …}, only looked at}
local COUNTERS, RECORDS, DUE = KEYS[1], KEYS[2], KEYS[3]
local OVER, RESERVED, COMMITTED = 0, 1, 2
local LARGEST = 2 ^ 52
local now, window = tonumber(ARGV[2]), tonumber(ARGV[3])

local function get(hash, name)
  local packed = redis.call('HGET', hash, name)
  return packed and cmsgpack.unpack(packed)
end

local function put(hash, name, value)
  redis.call('HSET', hash, name, cmsgpack.pack(value))
end

local function queue(due_ms, member)
  redis.call('ZADD', DUE, string.format('%.0f', due_ms), member)
end

-- Counters are read once and written once in a call, however many reservations of a batch share them.
local counters, changed = {}, {}

local function counter_of(name)
  if counters[name] == nil then
    counters[name] = get(COUNTERS, name) or false
  end
  return counters[name]
end

local function drop_counter(name)
  if counter_of(name) and counters[name][2] > 0 then
    redis.call('ZREM', DUE, 'c' .. name)
  end
  counters[name], changed[name] = false, true
end

local function write_counters()
  for name in pairs(changed) do
    if counters[name] then
      put(COUNTERS, name, counters[name])
    else
      redis.call('HDEL', COUNTERS, name)
    end
  end
end

local function give_back(record)
  local claims = record[7]
  for at = 1, #claims, 3 do
    local name = claims[at]
    local counter = counter_of(name)
    if counter and counter[2] == claims[at + 2] then
      counter[1], changed[name] = counter[1] - claims[at + 1], true
      if counter[1] == 0 then
        drop_counter(name)
      end
    end
  end
  record[1] = OVER
  record[7] = {}
end

local function end_record(key)
  local record = get(RECORDS, key)
  if record[1] == RESERVED then
    give_back(record)
    put(RECORDS, key, record)
    queue(record[3], 'r' .. key)
  else
    redis.call('HDEL', RECORDS, key)
    redis.call('ZREM', DUE, 'r' .. key)
  end
end

local function sweep()
  while true do
    local due = redis.call('ZRANGEBYSCORE', DUE, '-inf', ARGV[2], 'LIMIT', 0, 1000)
    if #due == 0 then
      return
    end
    for _, member in ipairs(due) do
      -- Something earlier in this slice may have removed it.
      if redis.call('ZSCORE', DUE, member) then
        local name = string.sub(member, 2)
        if string.sub(member, 1, 1) == 'c' then
          drop_counter(name)
        else
          end_record(name)
        end
      end
    end
  end
end

local function claim(name, amount, forget_after)
  local counter = counter_of(name)
  if not counter then
    counter = {0, forget_after > 0 and now + forget_after or 0}
    if counter[2] > 0 then
      queue(counter[2], 'c' .. name)
    end
  end
  counter[1] = counter[1] + amount
  counters[name], changed[name] = counter, true
  return counter[2]
end

-- claims: counter, amount, limit (-1: none), forget_after (0: never), …
local function decide(ttl, claims, hold)
  local totals = {}
  for at = 1, #claims, 4 do
    local name = claims[at]
    if not totals[name] then
      local counter = counter_of(name)
      totals[name] = counter and counter[1] or 0
    end
    totals[name] = totals[name] + claims[at + 1]
  end
  for at = 1, #claims, 4 do
    local limit = claims[at + 2]
    if totals[claims[at]] > (limit < 0 and LARGEST or limit) then
      return {OVER, claims[at], now + window, 0, 0, 0, {}, 0}
    end
  end
  if not hold then
    return {OVER, '', now + ttl, 0, 0, 0, {}, 1}
  end
  local held = {}
  for at = 1, #claims, 4 do
    held[#held + 1] = claims[at]
    held[#held + 1] = claims[at + 1]
    held[#held + 1] = claim(claims[at], claims[at + 1], claims[at + 3])
  end
  return {RESERVED, '', now + ttl + window, now + ttl, 0, 0, held, 0}
end

local commands = {}

-- Of neighbours with the same group the first that is granted holds.
local group, taken = '', false

function commands.reserve(reservation)
  local key = reservation[1]
  if reservation[4] == '' or reservation[4] ~= group then
    group, taken = reservation[4], false
  end
  local record = get(RECORDS, key)
  if not record then
    record = decide(reservation[2], reservation[3], reservation[5] == 1 and not taken)
    put(RECORDS, key, record)
    queue(record[1] == RESERVED and record[4] or record[3], 'r' .. key)
  end
  if record[8] == 1 then
    return 1
  end
  taken = taken or (group ~= '' and record[2] == '')
  return record[2]
end

local function keep(key, record)
  record[3] = now + window
  put(RECORDS, key, record)
  queue(record[3], 'r' .. key)
end

function commands.commit(key)
  local record = get(RECORDS, key)
  if record and record[1] == RESERVED then
    record[1], record[5] = COMMITTED, 1
    keep(key, record)
  end
  return record and record[5] or 0
end

function commands.release(key)
  local record = get(RECORDS, key)
  if record and record[1] ~= OVER then
    give_back(record)
    record[6] = 1
    keep(key, record)
  end
  return record and record[6] or 0
end

function commands.total(name)
  local counter = counter_of(name)
  return counter and counter[1] or 0
end

sweep()
local command = commands[ARGV[1]]
local answers = {}
for _, item in ipairs(cmsgpack.unpack(ARGV[4])) do
  answers[#answers + 1] = command(item)
end
write_counters()
return answers
