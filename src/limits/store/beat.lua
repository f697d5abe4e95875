-- A gate is alive, and so are its calls in flight.
--
-- KEYS: the gates; then a counter for each lease. ARGV: the gate, how long it and its leases hold (µs); then the leases.
-- Answers how many gates there are.

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local holds = tonumber(ARGV[2])
local ends = string.format('%.0f', now + holds)

redis.call('ZADD', KEYS[1], ends, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
-- No gate is believed for longer, but when the clock was put back.
redis.call('ZREMRANGEBYSCORE', KEYS[1], '(' .. ends, '+inf')
for i = 1, #KEYS do
  if i > 1 then
    redis.call('ZADD', KEYS[i], ends, ARGV[i + 1])
  end
  redis.call('PEXPIRE', KEYS[i], math.ceil(holds / 1000) + 1000)
end
return redis.call('ZCARD', KEYS[1])
