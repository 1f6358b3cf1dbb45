-- The figures of one queue at one instant.
-- KEYS 1 ready, 2 delayed, 3 parked | ARGV 1 group
-- Returns entries in the stream, those of them taken, delayed, parked, and the id of the oldest entry.
-- Bound: constant, but for the consumers that hold something.
local taken = redis.pcall('XPENDING', KEYS[1], ARGV[1])
local oldest = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)[1]
return {
  redis.call('XLEN', KEYS[1]),
  taken.err and 0 or taken[1], -- no group yet: nobody has ever worked on this queue
  redis.call('ZCARD', KEYS[2]),
  redis.call('XLEN', KEYS[3]),
  oldest and oldest[1] or '',
}
