-- How much work there is in a queue and how much there ever was, for its rate.
-- KEYS the streams of the lanes
-- Returns the jobs not acknowledged, and the jobs ever put in.
-- Bound: constant.
local left, added = 0, 0
for _, key in ipairs(KEYS) do
  local info = redis.pcall('XINFO', 'STREAM', key)
  -- No stream yet: nothing was ever put in.
  for i = 1, info.err and 0 or #info, 2 do
    if info[i] == 'length' then
      left = left + info[i + 1]
    elseif info[i] == 'entries-added' then
      added = added + info[i + 1]
    end
  end
end
return { left, added }
