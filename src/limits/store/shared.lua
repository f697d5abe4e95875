-- Takes room under every limit of a call, or under none; atomic, as every script is. The slots are those of window.rs.
--
-- KEYS: a counter each. ARGV: the lease of the call and how long it holds; then for each counter how much there is at
-- most, in how long (0 for what is in flight), how much is taken now, how much of it at once (0 for all), and `enforce`,
-- `shadow`, or `charge` for what is taken whether or not there is room. All times are microseconds of this store's clock:
-- the clocks of gates differ, and need not be right.
--
-- Answers for each counter: in how long there is room (0: it was taken), then what is taken by slot, the newest first.

local SLOTS = 17
local A_MOMENT = 100000

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local lease, holds = ARGV[1], tonumber(ARGV[2])

local function whole(number)
  return string.format('%.0f', number)
end

-- What was taken by slot, the newest first, and when a burst is due to be used up. What is over is taken out.
local function read(key, slot, every)
  local taken, due, over = {}, 0, {}
  for ago = 1, SLOTS do
    taken[ago] = 0
  end
  local fields = redis.call('HGETALL', key)
  for i = 1, #fields, 2 do
    local value = tonumber(fields[i + 1])
    if fields[i] == 'due' then
      due = value
      if due > now + every then
        -- The clock was put back: nobody waits for the old time to come again.
        due = now + every
        redis.call('HSET', key, 'due', whole(due))
      end
    else
      local ago = slot - tonumber(fields[i])
      if ago < 0 then
        -- The same: it counts as taken now.
        redis.call('HDEL', key, fields[i])
        redis.call('HINCRBY', key, whole(slot), whole(value))
        taken[1] = taken[1] + value
      elseif ago < SLOTS then
        taken[ago + 1] = taken[ago + 1] + value
      else
        over[#over + 1] = fields[i]
      end
    end
  end
  if #over > 0 then
    redis.call('HDEL', key, unpack(over))
  end
  return taken, due
end

-- In how long so much more finds room: when enough of the oldest slots are over.
local function wait(taken, sum, slot, length, amount, most, every)
  for ago = SLOTS - 1, 0, -1 do
    sum = sum - taken[ago + 1]
    if sum + math.max(amount, 1) <= most then
      return math.max(math.ceil((slot - ago + SLOTS) * length - now), 1)
    end
  end
  return every
end

local counters, refused = {}, false
for i, key in ipairs(KEYS) do
  local at = 5 * i - 2
  local most, every, amount = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local burst, mode = tonumber(ARGV[at + 3]), ARGV[at + 4]
  local counter = { key = key, every = every, amount = amount, after = 0, said = {} }
  if every == 0 then
    redis.call('ZREMRANGEBYSCORE', key, '-inf', whole(now))
    if redis.call('ZCARD', key) >= most then
      counter.after = A_MOMENT
    end
  else
    local length = every / (SLOTS - 1)
    counter.slot = math.floor(now / length)
    local taken, due = read(key, counter.slot, every)
    local sum = 0
    for ago = 1, SLOTS do
      sum = sum + taken[ago]
    end
    if sum + math.max(amount, 1) > most then
      counter.after = wait(taken, sum, counter.slot, length, amount, most, every)
    end
    if burst > 0 then
      local each = every / most
      counter.due = math.max(due, now) + each * amount
      counter.after = math.max(counter.after, math.ceil(counter.due - now - each * burst - 0.5))
    end
    counter.said = taken
  end
  if mode == 'charge' then
    counter.after = 0
  elseif mode == 'enforce' and counter.after > 0 then
    refused = true
  end
  counters[i] = counter
end

local answer = {}
for i, counter in ipairs(counters) do
  if not refused and counter.after == 0 then
    if counter.every == 0 then
      redis.call('ZADD', counter.key, whole(now + holds), lease)
      redis.call('PEXPIRE', counter.key, math.ceil(holds / 1000) + 1000)
    elseif counter.amount > 0 then
      redis.call('HINCRBY', counter.key, whole(counter.slot), whole(counter.amount))
      if counter.due then
        redis.call('HSET', counter.key, 'due', whole(counter.due))
      end
      redis.call('PEXPIRE', counter.key, math.ceil(counter.every * SLOTS / (SLOTS - 1) / 1000) + 1000)
      counter.said[1] = counter.said[1] + counter.amount
    end
  end
  table.insert(counter.said, 1, counter.after)
  answer[i] = counter.said
end
return answer
