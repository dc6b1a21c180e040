-- One coupon, one question, at once or not at all. `storage/coupons.py` says what the commands mean.
-- KEYS: coupon, answer (of an idempotency key), untold, the ledger's counters
-- ARGV: command, now (ms; 0: the server's clock), digest of the body ('' without an idempotency key), MessagePack of what is asked
-- Returns MessagePack of {outcome, the coupon's fields as a map, milliseconds to wait}, and 1 where it was answered before
local COUPON, ANSWER, UNTOLD, COUNTERS = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local ANSWER_MS = 86400000
-- A till's clock may be so far behind the server's.
local SKEW_MS = 120000
local command, digest, asked = ARGV[1], ARGV[3], cmsgpack.unpack(ARGV[4])
local now = tonumber(ARGV[2])
if now == 0 then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

local coupon = {}
local flat = redis.call('HGETALL', COUPON)
for at = 1, #flat, 2 do
  coupon[flat[at]] = flat[at + 1]
end

local function number(field)
  return tonumber(coupon[field] or '0')
end

local function text(value)
  return string.format('%.0f', value)
end

local function answer(outcome, wait)
  return {cmsgpack.pack({outcome, coupon, wait or 0}), 0}
end

-- The final answer under an idempotency key; one that says "ask again" is none.
local function settle(outcome)
  local answered = answer(outcome)
  if digest ~= '' then
    redis.call('HSET', ANSWER, 'digest', digest, 'answer', answered[1])
    redis.call('PEXPIRE', ANSWER, ANSWER_MS)
  end
  return answered
end

local function set(fields)
  local arguments = {}
  for name, value in pairs(fields) do
    coupon[name] = value
    arguments[#arguments + 1] = name
    arguments[#arguments + 1] = value
  end
  redis.call('HSET', COUPON, unpack(arguments))
end

-- A change that the log is to hear of; it is kept until the log has it.
local function move(state, previous, at, channel, time, amount)
  local turn = text(number('turn') + 1)
  set({state = state, turn = turn, holder = '', until_ms = '0'})
  local event = {coupon.offer .. ':' .. turn, coupon.offer, coupon.campaign, coupon.device, coupon.store, at, state,
                 previous, channel, time, amount}
  redis.call('HSET', UNTOLD, event[1], cmsgpack.pack(event))
end

-- How many of the campaign's coupons are redeemed: a counter of the ledger's, {total, 0}, as scripts/ledger.lua keeps it. A
-- coupon is its own reservation: it takes its unit and gives it back in the step in which it changes, whether or not its
-- campaign has a quota (one may be set later), and `counted` says that it holds one.
local function counter()
  return 'coupon:' .. coupon.campaign .. ':redemptions'
end

local function redeemed_so_far()
  local packed = redis.call('HGET', COUNTERS, counter())
  return packed and cmsgpack.unpack(packed)[1] or 0
end

local function count(step)
  local total = redeemed_so_far() + step
  if total > 0 then
    redis.call('HSET', COUNTERS, counter(), cmsgpack.pack({total, 0}))
  else
    redis.call('HDEL', COUNTERS, counter())
  end
  set({counted = step > 0 and '1' or ''})
end

if digest ~= '' and command ~= 'look' then
  local known = redis.call('HMGET', ANSWER, 'digest', 'answer')
  if known[1] then
    return known[1] == digest and {known[2], 1} or answer('key_reused')
  end
end
if not coupon.state then
  return command == 'look' and answer('unknown') or settle('unknown')
end
-- A lock whose time is up was never there.
if coupon.state == 'locked' and number('until_ms') <= now then
  coupon.state, coupon.holder = coupon.before, ''
end

-- Whether it is held for the asker: what was good when a basket was begun stays good until the hold ends.
local function is_mine()
  return coupon.state == 'locked' and coupon.holder == asked.holder
end

-- When it happened there, or now; a till's clock may run ahead.
local function time_asked()
  return asked.time > 0 and math.min(asked.time, now) or now
end

local function refusal()
  local time = time_asked()
  if coupon.state == 'void' then
    return 'void'
  elseif coupon.state == 'redeemed' then
    return 'redeemed'
  elseif time >= number('expires_ms') and not is_mine() then
    return 'expired'
  elseif time < number('issued_ms') - SKEW_MS then
    return 'too_early'
  elseif asked.channels ~= 'any' and asked.channel ~= asked.channels then
    return 'wrong_channel'
  elseif not asked.everywhere and asked.at ~= coupon.store then
    return 'wrong_store'
  end
end

local commands = {}

function commands.look()
  if (coupon.state == 'issued' or coupon.state == 'rolled_back') and now >= number('expires_ms') then
    coupon.state = 'expired'
  end
  return answer('found')
end

-- Takes the coupon for a holder while a basket is rung up.
function commands.lock()
  local refused = refusal()
  if refused then
    return settle(refused)
  end
  if coupon.state == 'locked' then
    -- Who did not hear the answer asks again, and gets the hold that it has; no longer one, or it might never end.
    local is_again = asked.asks ~= '' and coupon.asked_by == asked.asks
    return answer(is_again and 'held' or 'locked', number('until_ms') - now)
  end
  set({state = 'locked', before = coupon.state, holder = asked.holder, asked_by = asked.asks,
       until_ms = text(now + asked.ttl)})
  return answer('held', asked.ttl)
end

function commands.unlock()
  if is_mine() then
    set({state = coupon.before, holder = '', until_ms = '0'})
  end
  return answer('found')
end

function commands.redeem()
  local refused = refusal()
  if refused then
    return settle(refused)
  end
  local previous = coupon.state
  if previous == 'locked' and not is_mine() then
    return answer('locked', number('until_ms') - now)
  end
  if asked.quota >= 0 and redeemed_so_far() >= asked.quota then
    return settle('over_quota')
  end
  count(1)
  move('redeemed', previous, asked.at, asked.channel, time_asked(), asked.amount)
  set({at = asked.at, channel = asked.channel, redeemed_ms = text(time_asked())})
  return settle('done')
end

function commands.rollback()
  if coupon.state ~= 'redeemed' then
    return settle('not_redeemed')
  elseif asked.at ~= coupon.at then
    return settle('wrong_store')
  end
  if coupon.counted == '1' then
    count(-1)
  end
  move('rolled_back', 'redeemed', coupon.at, coupon.channel, now, -1)
  return settle('done')
end

function commands.void()
  if coupon.state == 'redeemed' or coupon.state == 'void' then
    return settle(coupon.state)
  end
  move('void', coupon.state, coupon.store, 'store', now, -1)
  return settle('done')
end

return commands[command]()
