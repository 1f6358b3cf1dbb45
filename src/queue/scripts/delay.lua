-- Adds jobs that become due later, by the server's clock, and rings the bell when one of them is now
-- the earliest: a pool may sleep until the time that was the earliest before.
-- KEYS 1 delayed, 2 bell | ARGV pairs of delay in ms and packed job
-- Bound: the jobs given.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local before = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2]
local earliest = before and tonumber(before) or math.huge
local ring = false
for i = 1, #ARGV, 2 do
  local due = now + tonumber(ARGV[i])
  redis.call('ZADD', KEYS[1], due, ARGV[i + 1])
  ring = ring or due < earliest
end
if ring then
  redis.call('DEL', KEYS[2])
  redis.call('LPUSH', KEYS[2], 1)
end
return redis.status_reply('OK')
