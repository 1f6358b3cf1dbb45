-- Turns taken jobs into delayed ones with one attempt more. A job that is no longer taken (it was
-- settled by another worker) is left alone. The new place is made before the old one is given up, so
-- that an error half-way loses nothing.
-- KEYS 1 ready, 2 delayed, 3 bell | ARGV 1 group, then pairs of id and delay in ms
-- Bound: the jobs given.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local before = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')[2]
local earliest = before and tonumber(before) or math.huge
local ring = false
for i = 2, #ARGV, 2 do
  local id = ARGV[i]
  if redis.call('XPENDING', KEYS[1], ARGV[1], id, id, 1)[1] then
    local entry = redis.call('XRANGE', KEYS[1], id, id)[1]
    if entry then
      local field = {}
      for j = 1, #entry[2], 2 do
        field[entry[2][j]] = entry[2][j + 1]
      end
      -- An entry of version 1 has a field for each value of the line.
      local line = field.h or ('2 %s %s %s %s %s'):format(field.k, field.t, field.a, field.e, field.r)
      local before, attempt, after = line:match('^(%S+ %S+ %S+ )(%d+)( .*)$')
      line = ('%s%d%s'):format(before, tonumber(attempt) + 1, after)
      local body = field.b or ''
      local due = now + tonumber(ARGV[i + 1])
      -- The id first: members must differ even when the jobs do not.
      redis.call('ZADD', KEYS[2], due, struct.pack('>I4', #id) .. id
        .. struct.pack('>I4', #line) .. line .. struct.pack('>I4', #body) .. body)
      ring = ring or due < earliest
    end
    redis.call('XACK', KEYS[1], ARGV[1], id)
    redis.call('XDEL', KEYS[1], id)
  end
end
if ring then
  redis.call('DEL', KEYS[3])
  redis.call('LPUSH', KEYS[3], 1)
end
return redis.status_reply('OK')
