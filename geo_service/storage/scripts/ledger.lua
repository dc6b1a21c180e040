-- The ledger: the same rules as MemoryLedger in flow/ledger.py, held equal by a test over random histories.
-- KEYS: counters, records, due   ARGV: command, now (ms), window (ms), MessagePack of what to do
-- counter: {total, forget_ms}; forget_ms 0 for never, and telling one life of the counter from the next
-- record: {state, refused, drop_ms, expires_ms, was committed, was released, {counter, amount, forget_ms, …}, only looked at}
local OVER, RESERVED, COMMITTED = 0, 1, 2
local LARGEST = 2 ^ 52
local LOOKED_MS = 3600000
-- Lua hands at most 8000 values to a command; even, so that a name and its value stay together.
local MOST = 2000
local now, window = tonumber(ARGV[2]), tonumber(ARGV[3])

-- A command costs more than what it does: what a call names is read at once, changed here, and written at once.
local counters, records = {hash = KEYS[1], known = {}, changed = {}}, {hash = KEYS[2], known = {}, changed = {}}
-- When something may be over, by member of KEYS[3]; false: it no longer is there.
local due = {}

local function read(of, names)
  local known, missing, many = of.known, {}, 0
  for at = 1, #names do
    local name = names[at]
    if known[name] == nil then
      many = many + 1
      missing[many], known[name] = name, false
    end
  end
  for first = 1, many, MOST do
    local found = redis.call('HMGET', of.hash, unpack(missing, first, math.min(first + MOST - 1, many)))
    for at = 1, #found do
      if found[at] then
        known[missing[first + at - 1]] = cmsgpack.unpack(found[at])
      end
    end
  end
end

local function get(of, name)
  if of.known[name] == nil then
    read(of, {name})
  end
  return of.known[name]
end

-- false: it is gone.
local function put(of, name, value)
  of.known[name], of.changed[name] = value, true
end

local function call_in_parts(command, key, values)
  for first = 1, #values, MOST do
    redis.call(command, key, unpack(values, first, math.min(first + MOST - 1, #values)))
  end
end

local function write(of)
  local kept, gone = {}, {}
  for name in pairs(of.changed) do
    local value = of.known[name]
    if value then
      kept[#kept + 1] = name
      kept[#kept + 1] = cmsgpack.pack(value)
    else
      gone[#gone + 1] = name
    end
  end
  call_in_parts('HSET', of.hash, kept)
  call_in_parts('HDEL', of.hash, gone)
end

local function write_due()
  local kept, gone = {}, {}
  for member, at_ms in pairs(due) do
    if at_ms then
      kept[#kept + 1] = string.format('%.0f', at_ms)
      kept[#kept + 1] = member
    else
      gone[#gone + 1] = member
    end
  end
  call_in_parts('ZADD', KEYS[3], kept)
  call_in_parts('ZREM', KEYS[3], gone)
  due = {}
end

local function drop_counter(name)
  local counter = get(counters, name)
  if counter and counter[2] > 0 then
    due['c' .. name] = false
  end
  put(counters, name, false)
end

local function give_back(record)
  local claims = record[7]
  for at = 1, #claims, 3 do
    local name = claims[at]
    local counter = get(counters, name)
    if counter and counter[2] == claims[at + 2] then
      counter[1] = counter[1] - claims[at + 1]
      put(counters, name, counter)
      if counter[1] == 0 then
        drop_counter(name)
      end
    end
  end
  record[1] = OVER
  record[7] = {}
end

local function end_record(key)
  local record = get(records, key)
  if record[1] == RESERVED then
    give_back(record)
    put(records, key, record)
    due['r' .. key] = record[3]
  else
    put(records, key, false)
    due['r' .. key] = false
  end
end

local function sweep()
  while true do
    local over = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', ARGV[2], 'LIMIT', 0, 1000)
    if #over == 0 then
      return
    end
    local names, keys = {}, {}
    for at, member in ipairs(over) do
      local of = string.sub(member, 1, 1) == 'c' and names or keys
      of[#of + 1] = string.sub(member, 2)
    end
    read(counters, names)
    read(records, keys)
    for _, member in ipairs(over) do
      -- Something earlier in this slice may have removed it.
      if due[member] ~= false then
        local name = string.sub(member, 2)
        if string.sub(member, 1, 1) == 'c' then
          drop_counter(name)
        else
          end_record(name)
        end
      end
    end
    write_due()
  end
end

local function claim(name, amount, forget_after)
  local counter = get(counters, name)
  if not counter then
    counter = {0, forget_after and now + forget_after or 0}
    if forget_after then
      due['c' .. name] = counter[2]
    end
  end
  counter[1] = counter[1] + amount
  put(counters, name, counter)
  return counter[2]
end

-- claims: {counter, amount, limit or nil, forget_after or nil}, …
local function decide(ttl, claims, hold)
  local totals = {}
  for at = 1, #claims do
    local each = claims[at]
    local name = each[1]
    local total = totals[name]
    if not total then
      local counter = get(counters, name)
      total = counter and counter[1] or 0
    end
    totals[name] = total + each[2]
  end
  for at = 1, #claims do
    local each = claims[at]
    if totals[each[1]] > (each[3] or LARGEST) then
      return {OVER, each[1], now + window, 0, 0, 0, {}, 0}
    end
  end
  if not hold then
    return {OVER, '', now + math.min(ttl, LOOKED_MS), 0, 0, 0, {}, 1}
  end
  local held = {}
  for _, each in ipairs(claims) do
    held[#held + 1] = each[1]
    held[#held + 1] = each[2]
    held[#held + 1] = claim(each[1], each[2], each[4])
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
  local record = get(records, key)
  if not record then
    record = decide(reservation[3], reservation[2], reservation[5] and not taken)
    put(records, key, record)
    due['r' .. key] = record[1] == RESERVED and record[4] or record[3]
  end
  if record[8] == 1 then
    return 1
  end
  taken = taken or (group ~= '' and record[2] == '')
  return record[2]
end

local function keep(key, record)
  record[3] = now + window
  put(records, key, record)
  due['r' .. key] = record[3]
end

function commands.commit(key)
  local record = get(records, key)
  if record and record[1] == RESERVED then
    record[1], record[5] = COMMITTED, 1
    keep(key, record)
  end
  return record and record[5] or 0
end

function commands.release(key)
  local record = get(records, key)
  if record and record[1] ~= OVER then
    give_back(record)
    record[6] = 1
    keep(key, record)
  end
  return record and record[6] or 0
end

function commands.total(name)
  local counter = get(counters, name)
  return counter and counter[1] or 0
end

-- Which records and counters the items name.
local function named(items)
  if ARGV[1] == 'total' then
    return {}, items
  elseif ARGV[1] ~= 'reserve' then
    return items, {}
  end
  local keys, names, many = {}, {}, 0
  for at = 1, #items do
    local claims = items[at][2]
    keys[at] = items[at][1]
    for number = 1, #claims do
      many = many + 1
      names[many] = claims[number][1]
    end
  end
  return keys, names
end

sweep()
local items = cmsgpack.unpack(ARGV[4])
local keys, names = named(items)
read(records, keys)
read(counters, names)
local command = commands[ARGV[1]]
local answers = {}
for _, item in ipairs(items) do
  answers[#answers + 1] = command(item)
end
write(counters)
write(records)
write_due()
return answers
