-- Takes over jobs whose lease has run out, in one of two ways: jobs that were delivered seldom, up to
-- LIMIT of them, or one job that was delivered often (a suspect), alone. What is not taken stays due.
-- KEYS 1 ready | ARGV 1 group, 2 consumer, 3 lease ms, 4 cursor, 5 limit,
--                     6 deliveries that make a suspect, 7 whether a suspect may be taken (0, 1)
-- Returns the next cursor and the jobs taken, each with id, fields, deliveries.
-- Bound: XAUTOCLAIM looks at no more than ten times LIMIT entries.
local ready, group, me, lease, limit = KEYS[1], ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[5])
local page = redis.call('XAUTOCLAIM', ready, group, me, lease, ARGV[4], 'COUNT', limit, 'JUSTID')
local taken, alone = {}, false
for _, id in ipairs(page[2]) do
  local held = redis.call('XPENDING', ready, group, id, id, 1)[1]
  if held then
    local deliveries = held[4]
    local suspect = deliveries >= tonumber(ARGV[6])
    local wanted = not suspect or (ARGV[7] == '1' and #taken == 0)
    if wanted and not alone then
      -- Without JUSTID this counts as a delivery.
      local entry = redis.call('XCLAIM', ready, group, me, 0, id)[1]
      if entry then
        taken[#taken + 1] = { entry[1], entry[2], deliveries + 1 }
        alone = suspect
      end
    else
      redis.call('XCLAIM', ready, group, me, 0, id, 'IDLE', lease, 'JUSTID')
    end
  end
end
return { page[1], taken }
