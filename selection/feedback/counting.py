"""The script in Redis that counts an observation once: its mark, its event, and what it teaches."""

from __future__ import annotations

from selection.store.scripts import Script

# KEYS  seen, stream, state, state of all contexts (the same key in the global context), contexts
# ARGV  seen TTL, event, now, context, context TTL, most contexts, what a state's key begins with,
#       then the update as msgpack; an empty one changes nothing.
# What `selection.policies.statistics.learn_in` says, in the same order of arithmetic: both agree to
# the bit.
# All is read and worked out before anything is written: Redis takes nothing back where a script
# fails half way.
# Contexts give way before the update, and the entry names them: a replay forgets them there too.
SCRIPT = Script("""
if redis.call('EXISTS', KEYS[1]) == 1 then
  return 0
end
if ARGV[8] == '' then
  redis.call('XADD', KEYS[2], '*', 'event', ARGV[2])
  redis.call('SET', KEYS[1], '1', 'EX', ARGV[1])
  return {}
end
local state, general, contexts = KEYS[3], KEYS[4], KEYS[5]
local now, context, ttl, most = ARGV[3], ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
local arms, routed, observed, at_ms, keep, version_share, families, pairs_kind =
unpack(cmsgpack.unpack(ARGV[8]))

-- Contexts that are too old, and then those too many of which were used longest ago.
local function to_give_way()
  if state == general then
    return {}
  end
  local gone = redis.call(
    'ZRANGEBYSCORE', contexts, '-inf', '(' .. now - ttl, 'LIMIT', 0, EVICTED_AT_ONCE)
  local over = redis.call('ZCARD', contexts) - #gone - most
  local used = redis.call('ZSCORE', contexts, context)
  for _, expired in ipairs(gone) do
    used = used and expired ~= context
  end
  if not used then
    over = over + 1
  end
  if over > 0 then
    local first, count = #gone, math.min(over, EVICTED_AT_ONCE)
    for _, unused in ipairs(redis.call('ZRANGE', contexts, first, first + count - 1)) do
      gone[#gone + 1] = unused
    end
  end
  return gone
end

local gone, is_new = to_give_way(), false
for _, one in ipairs(gone) do
  is_new = is_new or one == context
end

-- The fields of a state's hash, and all of it; nothing of a context that is to begin anew.
local function read(key, fields)
  if key == state and is_new then
    return {}
  end
  return redis.call('HMGET', key, unpack(fields))
end

local function read_all(key)
  if key == state and is_new then
    return {}
  end
  return redis.call('HGETALL', key)
end

local function fields_of(prefix, names)
  local fields = {}
  for i, name in ipairs(names) do
    fields[i] = prefix .. name
  end
  return fields
end

local is_routed = {}
for _, arm in ipairs(routed) do
  is_routed[arm] = true
end

-- By their bytes, whatever the order of letters is where the server runs.
local function comes_after(one, other)
  for i = 1, math.min(#one, #other) do
    local a, b = string.byte(one, i), string.byte(other, i)
    if a ~= b then
      return a > b
    end
  end
  return #one > #other
end

-- The version of the same model, no longer routed, of which most is known.
local function predecessor(all, family, arm)
  local start = family.prefix .. string.match(arm, '^(.*):') .. ':'
  local found, most
  for i = 1, #all, 2 do
    local other = string.sub(all[i], #family.prefix + 1)
    if string.sub(all[i], 1, #start) == start and not is_routed[other] then
      local first = struct.unpack('<d', all[i + 1])
      if not found or first > most or (first == most and comes_after(other, found)) then
        found, most = other, first
      end
    end
  end
  return found
end

local function unpacked(family, text)
  local vector = {struct.unpack(family.format, text)}
  vector[family.width + 1] = nil
  return vector
end

-- What is known of an arm: numbers, or where nothing of it will change the text that they are.
local function known_of(family, arm, text)
  if family.by_arm == family.width and not family.deltas[arm] then
    return text
  end
  return unpacked(family, text)
end

local function join(key, family)
  local stored, known, sum = read(key, fields_of(family.prefix, arms)), 0, 0
  local vectors, missing = {}, {}
  for i in ipairs(arms) do
    local text = stored[i]
    if text then
      vectors[i] = known_of(family, arms[i], text)
      if is_routed[arms[i]] then
        known = known + 1
        sum = sum + struct.unpack('<d', text)
      end
    else
      missing[#missing + 1] = i
    end
  end
  local mean, all = 0, {}
  if family.relative and known > 0 then
    mean = sum / known
  end
  if #missing > 0 then
    all = read_all(key)
  end
  for _, i in ipairs(missing) do
    local former, vector = not family.evidence and predecessor(all, family, arms[i]), {}
    local inherited = former
      and unpacked(family, read(key, {family.prefix .. former})[1])
    for j = 1, family.width do
      vector[j] = inherited and mean + version_share * (inherited[j] - mean) or mean
    end
    vectors[i] = vector
  end
  return vectors
end

local function has_changed(vector, lately)
  if vector[3] < CHANGED_FROM then
    return false
  end
  local mean, recent = vector[2] / vector[1], vector[4] / vector[3]
  local equal = vector[3] * (1 + lately) / (2 - vector[3] * (1 - lately))
  local variance = math.max(mean * (1 - mean), recent * (1 - recent)) + 1 / equal
  local apart = recent - mean
  return apart * apart > CHANGED * variance * (1 / equal - 1 / vector[1])
end

-- Evidence of all arms begins anew where one has changed.
local function recheck(vectors, family, lately)
  local changed = false
  for i, vector in ipairs(vectors) do
    if family.deltas[arms[i]] then
      changed = changed or has_changed(vector, lately)
      if vector[6] == 0 then
        vector[6] = at_ms
      end
    end
  end
  for i, vector in ipairs(changed and vectors or {}) do
    local known = type(vector) == 'table' and vector or unpacked(family, vector)
    vectors[i] = {0, 0, 0, 0, known[5] + 1, at_ms}
  end
end

-- What feedback adds, the last number above the mean reward of all arms lately.
local function above_level(deltas, vectors)
  local labels, rewarded, above = 0, 0, {}
  for _, vector in ipairs(vectors) do
    labels, rewarded = labels + vector[1], rewarded + vector[2]
  end
  for arm, delta in pairs(deltas) do
    local last = labels > 0 and delta[#delta] - rewarded / labels or 0
    above[arm] = {unpack(delta)}
    above[arm][#delta] = last
  end
  return above
end

-- What the update makes of one state: the texts of its sums go to `left`, in order; returns the
-- fields to write. In `paired` there is afterwards what a context's own rewards tell everybody.
local left, paired = {}, {}
local function taught(key, given)
  local written = {}
  for _, one in ipairs(given) do
    local name, width, relative, keeps, by_arm, evidence, levelled, deltas = unpack(one)
    local family = {
      prefix = name .. ':', width = width, relative = relative, by_arm = by_arm,
      evidence = evidence, deltas = deltas, format = '<' .. string.rep('d', width)
    }
    local vectors = join(key, family)
    if levelled then
      deltas = above_level(deltas, vectors)
    end
    for i, vector in ipairs(vectors) do
      local delta = deltas[arms[i]]
      if delta and name == REWARDS and key ~= general then
        local seen, sum, reward = vector[1], vector[2], delta[2]
        paired[arms[i]] = {seen, sum, seen * reward, sum * reward}
      end
      if delta or by_arm < width then  -- and then they are numbers
        for j, x in ipairs(vector) do
          local fades = delta or j <= width - by_arm
          vector[j] = x * (fades and (keeps[j] or keep) or 1) + (delta and delta[j] or 0)
        end
      end
    end
    if evidence then
      recheck(vectors, family, keeps[3])
    end
    for i, vector in ipairs(vectors) do
      local text = vector
      if type(vector) == 'table' then
        text = struct.pack(family.format, unpack(vector))
        written[#written + 1] = family.prefix .. arms[i]
        written[#written + 1] = text
      end
      left[#left + 1] = text
    end
  end
  local counts = fields_of(FEEDBACK, observed)
  local counted = read(key, counts)
  for i, field in ipairs(counts) do
    written[#written + 1] = field
    written[#written + 1] = string.format('%d', (counted[i] or 0) + 1)
  end
  return written
end

local own, everybodys = taught(state, families), nil
if state ~= general then
  if next(paired) then
    pairs_kind[#pairs_kind + 1] = paired
    families[#families + 1] = pairs_kind
  end
  everybodys = taught(general, families)
end

local entry = {'event', ARGV[2]}
if #gone > 0 then
  entry = {'event', ARGV[2], 'gone', cmsgpack.pack(gone)}
end
local position = redis.call('XADD', KEYS[2], '*', unpack(entry))
redis.call('SET', KEYS[1], '1', 'EX', ARGV[1])
for _, one in ipairs(gone) do
  redis.call('ZREM', contexts, one)
  redis.call('DEL', ARGV[7] .. one)
end
redis.call('HSET', state, UPDATED, now, POSITION, position, unpack(own))
if everybodys then
  redis.call('HSET', general, UPDATED, now, POSITION, position, unpack(everybodys))
  redis.call('EXPIRE', state, ttl + EXPIRY_MARGIN_S)
  redis.call('ZADD', contexts, now, context)
end
return left
""")
