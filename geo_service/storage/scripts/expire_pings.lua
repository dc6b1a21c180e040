-- Delete raw pings from the oldest entries of a log, whoever has not folded them; other entries stay.
-- KEYS: log   ARGV: where to begin, newest id that is old, how many entries to look at
-- Returns how many were deleted, and the last entry that was looked at ("" at the end).
local entries = redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[2], 'COUNT', ARGV[3])
local deleted = 0
for _, entry in ipairs(entries) do
  local fields = entry[2]
  for at = 1, #fields, 2 do
    if fields[at] == 'k' and fields[at + 1] == 'pings' then
      deleted = deleted + redis.call('XDEL', KEYS[1], entry[1])
    end
  end
end
return {deleted, #entries == tonumber(ARGV[3]) and entries[#entries][1] or ''}
