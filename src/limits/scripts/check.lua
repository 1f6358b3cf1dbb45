-- Decides requests one after the other by the server's clock. A request is counted in several buckets:
-- in all of them when none is full, else in none. A refused request leaves no mark.
-- KEYS 1 epoch, 2… buckets | ARGV 1 the epoch that the caller knows, 2 number of policies, then quota,
--   period ms and grain ms of each; then the policy of each bucket; then for each request the number
--   of its buckets and their places
-- Returns nothing when the epoch is another one (the logs were lost). Else the time in ms, then for
--   each request 1 (let in) or 0, and for each of its buckets what is left and the ms until there is more.
-- Bound: the requests given; a bucket holds at most 129 pieces, and each is forgotten once.
--
-- A bucket is a string: the total (4 bytes), then pieces of stamp in ms (6) and count (4), oldest first.
-- A piece counts until stamp + period; a stamp is later than the requests it stands for.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return {}
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local at = 1
local function take()
  at = at + 1
  return tonumber(ARGV[at])
end

local rules = {}
for i = 1, take() do
  local quota = take()
  local period = take()
  rules[i] = { quota = quota, period = period, grain = take() }
end

local buckets = {}
for i = 2, #KEYS do
  local rule = rules[take()]
  local log = redis.call('GET', KEYS[i]) or ''
  local bucket = { rule = rule, log = log, from = 5, total = 0, added = 0 }
  if #log > 0 then
    bucket.total = struct.unpack('>I4', log)
    while bucket.from < #log do
      local stamp, count = struct.unpack('>I6I4', log, bucket.from)
      if stamp + rule.period > now then
        bucket.first = stamp
        break
      end
      bucket.total = bucket.total - count
      bucket.from = bucket.from + 10
    end
  end
  -- A clock that was set back puts nothing before earlier ones.
  bucket.stamp = (math.floor(now / rule.grain) + 1) * rule.grain
  if bucket.first then
    bucket.last, bucket.count = struct.unpack('>I6I4', log, #log - 9)
    bucket.stamp = math.max(bucket.stamp, bucket.last)
  end
  buckets[i - 1] = bucket
end

local answer = { now }
while at < #ARGV do
  local its, full = {}, false
  for i = 1, take() do
    its[i] = buckets[take()]
    full = full or its[i].total >= its[i].rule.quota
  end
  answer[#answer + 1] = full and 0 or 1
  for _, bucket in ipairs(its) do
    if not full then
      bucket.total = bucket.total + 1
      bucket.added = bucket.added + 1
      bucket.first = bucket.first or bucket.stamp
    end
    answer[#answer + 1] = math.max(0, bucket.rule.quota - bucket.total)
    answer[#answer + 1] = bucket.first and bucket.first + bucket.rule.period - now or 0
  end
end

for i, bucket in ipairs(buckets) do
  if bucket.added > 0 then
    local kept, count = string.sub(bucket.log, bucket.from), bucket.added
    if bucket.last == bucket.stamp then
      kept, count = string.sub(bucket.log, bucket.from, -11), count + bucket.count
    end
    redis.call('SET', KEYS[i + 1],
      struct.pack('>I4', bucket.total) .. kept .. struct.pack('>I6I4', bucket.stamp, count),
      'PX', bucket.stamp + bucket.rule.period - now)
  end
end
return answer
