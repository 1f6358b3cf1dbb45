-- Gives taken jobs back unworked, in their old place: they look as if their lease had run out long
-- ago, this delivery does not count, and the bell tells a pool to look. Of those given by id, or of
-- everything the consumer holds; in that case the consumer is removed once it holds nothing.
-- KEYS 1 ready, 2 delayed, 3 bell | ARGV 1 group, 2 consumer, 3 limit, 4… ids
-- Returns 1 when there is more to give back. Bound: LIMIT, or the ids given.
local ready, group, me, limit = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])
local LONG_AGO = 86400000
local held = {}
if #ARGV > 3 then
  for i = 4, #ARGV do
    held[#held + 1] = redis.call('XPENDING', ready, group, ARGV[i], ARGV[i], 1, me)[1]
  end
else
  held = redis.call('XPENDING', ready, group, '-', '+', limit, me)
end
for _, entry in ipairs(held) do
  redis.call('XCLAIM', ready, group, 'returned', 0, entry[1],
    'IDLE', LONG_AGO, 'RETRYCOUNT', math.max(0, entry[4] - 1), 'JUSTID')
end
local leaves = #ARGV == 3 and #held < limit
local ring = #held > 0
if leaves then
  redis.call('XGROUP', 'DELCONSUMER', ready, group, me)
  -- It may have been the one that slept until the next delayed job, or have heard the bell last.
  ring = ring or redis.call('ZCARD', KEYS[2]) > 0
    or #redis.call('XPENDING', ready, group, '-', '+', 1, 'returned') > 0
end
if ring then
  redis.call('DEL', KEYS[3])
  redis.call('LPUSH', KEYS[3], 1)
end
return (#ARGV > 3 or leaves) and 0 or 1
