-- Adds to the logs what a process let in without them, and puts right what they lost.
-- KEYS 1 epoch, 2… buckets | ARGV 1 the epoch that the caller knows, then for each bucket its period in
--   ms, the number of pieces, and for each piece its stamp in ms, its count, and 1 (the log lacks it) or
--   0 (the log should have at least as many with this stamp)
-- Returns 1, or 0 when the epoch is another one.
-- Bound: the pieces given, and at most 129 more in each bucket.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local at = 1
local function take()
  at = at + 1
  return tonumber(ARGV[at])
end
for i = 2, #KEYS do
  local period, counts, stamps = take(), {}, {}
  local log = redis.call('GET', KEYS[i]) or ''
  for from = 5, #log, 10 do
    local stamp, count = struct.unpack('>I6I4', log, from)
    counts[stamp] = (counts[stamp] or 0) + count
  end
  for _ = 1, take() do
    local stamp = take()
    local count, lacks = take(), take()
    local had = counts[stamp] or 0
    counts[stamp] = lacks == 1 and had + count or math.max(had, count)
  end
  for stamp in pairs(counts) do
    if stamp + period > now then
      stamps[#stamps + 1] = stamp
    end
  end
  table.sort(stamps)
  local total, parts = 0, {}
  for _, stamp in ipairs(stamps) do
    total = total + counts[stamp]
    parts[#parts + 1] = struct.pack('>I6I4', stamp, counts[stamp])
  end
  if total > 0 then
    redis.call('SET', KEYS[i], struct.pack('>I4', total) .. table.concat(parts),
      'PX', stamps[#stamps] + period - now)
  end
end
return 1
