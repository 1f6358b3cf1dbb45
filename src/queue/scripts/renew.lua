-- Renews the lease of jobs in work, but only of those the consumer still owns: one that was taken
-- over belongs to its new owner.
-- KEYS 1 ready | ARGV 1 group, 2 consumer, 3… ids
-- Returns how many were renewed. Bound: the ids given.
local renewed = 0
for i = 3, #ARGV do
  if redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1, ARGV[2])[1] then
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[i], 'JUSTID')
    renewed = renewed + 1
  end
end
return renewed
