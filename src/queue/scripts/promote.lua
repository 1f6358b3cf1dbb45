-- Moves due jobs from the delayed to the ready ones, by the server's clock. A member that cannot be
-- taken apart is parked, so that it does not hold up the others.
-- KEYS 1 ready, 2 delayed, 3 parked | ARGV 1 limit
-- Returns how many were moved, and the milliseconds until the next is due (-1: none).
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local due = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, ARGV[1])
for _, member in ipairs(due) do
  -- A member of version 1 has eight parts; one of version 2, with three, is too short for that.
  local spread, _, v, k, t, a, e, r, b = pcall(struct.unpack, '>I4c0I4c0I4c0I4c0I4c0I4c0I4c0I4c0', member)
  local whole, _, h, body = pcall(struct.unpack, '>I4c0I4c0I4c0', member)
  if spread then
    redis.call('XADD', KEYS[1], '*', 'v', v, 'k', k, 't', t, 'a', a, 'e', e, 'r', r, 'b', b)
  elseif whole then
    redis.call('XADD', KEYS[1], '*', 'h', h, 'b', body)
  else
    redis.call('XADD', KEYS[3], '*', 'b', member, 'why', 'a delayed job cannot be read')
  end
  redis.call('ZREM', KEYS[2], member)
end
local first = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')[2]
return { #due, first and math.max(0, tonumber(first) - now) or -1 }
