-- The figures of one queue at one instant.
-- KEYS 1 delayed, 2 parked, 3… the streams of the lanes | ARGV 1 group
-- Returns entries in the streams, those of them taken, delayed, parked, and the id of the oldest entry
-- of each lane.
-- Bound: constant, but for the consumers that hold something.
local entries, taken = 0, 0
local answer = { 0, 0, redis.call('ZCARD', KEYS[1]), redis.call('XLEN', KEYS[2]) }
for i = 3, #KEYS do
  entries = entries + redis.call('XLEN', KEYS[i])
  local pending = redis.pcall('XPENDING', KEYS[i], ARGV[1])
  -- No group yet: nobody has ever worked on this queue.
  taken = taken + (pending.err and 0 or pending[1])
  local oldest = redis.call('XRANGE', KEYS[i], '-', '+', 'COUNT', 1)[1]
  answer[#answer + 1] = oldest and oldest[1] or ''
end
answer[1], answer[2] = entries, taken
return answer
