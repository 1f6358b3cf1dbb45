-- Sets taken entries aside as they are, each with the reason in the field `why`. The new place is
-- made before the old one is given up.
-- KEYS 1 ready, 2 parked | ARGV 1 group, then pairs of id and reason
-- Bound: the jobs given, and the fields of each.
for i = 2, #ARGV, 2 do
  local id = ARGV[i]
  if redis.call('XPENDING', KEYS[1], ARGV[1], id, id, 1)[1] then
    local entry = redis.call('XRANGE', KEYS[1], id, id)[1]
    if entry then
      local add = { 'XADD', KEYS[2], '*' }
      -- More would not fit into one call; a job has 4.
      for j = 1, math.min(#entry[2], 2000) do
        add[#add + 1] = entry[2][j]
      end
      add[#add + 1] = 'why'
      add[#add + 1] = ARGV[i + 1]
      redis.call(unpack(add))
    end
    redis.call('XACK', KEYS[1], ARGV[1], id)
    redis.call('XDEL', KEYS[1], id)
  end
end
return redis.status_reply('OK')
