-- Removes consumers that hold nothing and were silent for long: the names of killed workers. One that
-- lives after all is made again by its next read.
-- KEYS 1 ready | ARGV 1 group, 2 consumer that asks, 3 idle ms, 4 limit
-- Returns how many were removed. Bound: the consumers there are; LIMIT removals.
local removed = 0
for _, info in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local field = {}
  for i = 1, #info, 2 do
    field[info[i]] = info[i + 1]
  end
  if removed < tonumber(ARGV[4]) and field.name ~= ARGV[2]
    and field.pending == 0 and field.idle > tonumber(ARGV[3]) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], field.name)
    removed = removed + 1
  end
end
return removed
