-- One coupon, one question, at once or not at all. `storage/coupons.py` says what the commands mean.
-- KEYS: coupon, answer (of an idempotency key), untold
-- ARGV: command, now (ms; 0: the server's clock), digest of the body ('' without an idempotency key), MessagePack of what is asked
-- Returns MessagePack of {outcome, the coupon's fields as a map, milliseconds to wait}
local COUPON, ANSWER, UNTOLD = KEYS[1], KEYS[2], KEYS[3]
local ANSWER_MS = 86400000
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
  coupon.now = text(now)
  return cmsgpack.pack({outcome, coupon, wait or 0})
end

-- The final answer under an idempotency key; one that says "ask again" is none.
local function settle(outcome)
  local packed = answer(outcome)
  if digest ~= '' then
    redis.call('HSET', ANSWER, 'digest', digest, 'answer', packed)
    redis.call('PEXPIRE', ANSWER, ANSWER_MS)
  end
  return packed
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
                 previous, channel, time, amount, coupon.grant or ''}
  redis.call('HSET', UNTOLD, event[1], cmsgpack.pack(event))
end

if digest ~= '' and command ~= 'look' then
  local known = redis.call('HMGET', ANSWER, 'digest', 'answer')
  if known[1] then
    return known[1] == digest and known[2] or answer('key_reused')
  end
end
if not coupon.state then
  return answer('unknown')
end
-- A lock whose time is up was never there.
if coupon.state == 'locked' and number('until_ms') <= now then
  coupon.state, coupon.holder = coupon.before, ''
end

local function refusal(at, channel, time)
  if coupon.state == 'void' then
    return 'void'
  elseif coupon.state == 'redeemed' then
    return 'redeemed'
  elseif time >= number('expires_ms') then
    return 'expired'
  elseif asked.channels ~= 'any' and channel ~= asked.channels then
    return 'wrong_channel'
  elseif not asked.everywhere and at ~= coupon.store then
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

-- Takes the coupon for a holder: for as long as a basket is rung up, or until a quota was asked.
function commands.lock()
  local refused = refusal(asked.at, asked.channel, asked.time > 0 and asked.time or now)
  if refused then
    return settle(refused)
  end
  if coupon.state == 'locked' and coupon.holder ~= asked.holder then
    return answer('locked', number('until_ms') - now)
  end
  local before = coupon.state == 'locked' and coupon.before or coupon.state
  set({state = 'locked', before = before, holder = asked.holder, until_ms = text(now + asked.ttl)})
  return answer('held', asked.ttl)
end

function commands.unlock()
  if coupon.state == 'locked' and coupon.holder == asked.holder then
    set({state = coupon.before, holder = '', until_ms = '0'})
  end
  return asked.outcome and settle(asked.outcome) or answer('found')
end

function commands.redeem()
  local time = asked.time > 0 and math.min(asked.time, now) or now
  local refused = refusal(asked.at, asked.channel, time)
  if refused then
    return settle(refused)
  end
  local previous = coupon.state
  if previous == 'locked' then
    if coupon.holder ~= asked.holder then
      return answer('locked', number('until_ms') - now)
    end
  elseif asked.grant ~= '' then
    return answer('lost')
  end
  if asked.grant ~= '' and now >= asked.before then
    return answer('lost')
  end
  set({grant = asked.grant})
  move('redeemed', previous, asked.at, asked.channel, time, asked.amount)
  set({at = asked.at, channel = asked.channel, redeemed_ms = text(time)})
  return settle('done')
end

function commands.rollback()
  if coupon.state ~= 'redeemed' then
    return settle('not_redeemed')
  elseif asked.at ~= coupon.at then
    return settle('wrong_store')
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
