-- Decides requests one after the other by the server's clock. A request is counted in several buckets:
-- in all of them when none is full, else in none. A refused request leaves no mark.
-- KEYS 1 epoch, 2… buckets | ARGV 1 the epoch that the caller knows; 2 quota (4 bytes), period in ms (6)
--   and grain in ms (6) of each policy; 3 the policy of each bucket (1 byte); 4 for each request the number of
--   its buckets (1 byte) and their places (2 bytes each)
-- Returns nothing when the epoch is another one (the logs were lost). Else the time in ms (6 bytes), for each
--   bucket how many counted before (4) and the stamp of the oldest of them (6; 0 for none), and for each
--   request "1" (let in) or "0". What is left to each, the caller reckons.
-- Bound: the requests given; a bucket holds at most 129 pieces, and each is forgotten once.
--
-- A bucket is a string: the total (4 bytes), then pieces of stamp in ms (6) and count (4), oldest first.
-- A piece counts until stamp + period; a stamp is later than the requests it stands for.
local byte, sub, pack, unpacked = string.byte, string.sub, struct.pack, struct.unpack
local held = redis.call('MGET', unpack(KEYS))
if held[1] ~= ARGV[1] then
  return ''
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local quotas, periods, grains = {}, {}, {}
for i = 1, #ARGV[2] / 16 do
  quotas[i], periods[i], grains[i] = unpacked('>I4I6I6', ARGV[2], i * 16 - 15)
end

local policies = { byte(ARGV[3], 1, -1) }
local totals, firsts, starts, answer = {}, {}, {}, { pack('>I6', now) }
for i = 1, #policies do
  local log, total, from, first = held[i + 1], 0, 5, 0
  if log then
    local size, over = #log, now - periods[policies[i]]
    total = unpacked('>I4', log)
    while from < size do
      local stamp, count = unpacked('>I6I4', log, from)
      if stamp > over then
        first = stamp
        break
      end
      total = total - count
      from = from + 10
    end
  end
  totals[i], firsts[i], starts[i] = total, first, from
  answer[i + 1] = pack('>I4I6', total, first)
end

local requests, added, at = ARGV[4], {}, 1
while at <= #requests do
  local last, full = at + 2 * byte(requests, at), false
  for i = at + 1, last, 2 do
    local high, low = byte(requests, i, i + 1)
    local bucket = high * 256 + low
    full = full or totals[bucket] >= quotas[policies[bucket]]
  end
  if full then
    answer[#answer + 1] = '0'
  else
    for i = at + 1, last, 2 do
      local high, low = byte(requests, i, i + 1)
      local bucket = high * 256 + low
      totals[bucket] = totals[bucket] + 1
      added[bucket] = (added[bucket] or 0) + 1
    end
    answer[#answer + 1] = '1'
  end
  at = last + 1
end

for i, count in pairs(added) do
  local period, grain = periods[policies[i]], grains[policies[i]]
  local log, stamp, kept = held[i + 1], (math.floor(now / grain) + 1) * grain, ''
  if firsts[i] > 0 then
    local last, had = unpacked('>I6I4', log, #log - 9)
    if last < stamp then
      kept = sub(log, starts[i])
    else
      -- A clock that was set back puts nothing before earlier ones.
      stamp, count, kept = last, count + had, sub(log, starts[i], -11)
    end
  end
  redis.call('SET', KEYS[i + 1], pack('>I4', totals[i]) .. kept .. pack('>I6I4', stamp, count),
    'PX', stamp + period - now)
end
return table.concat(answer)
