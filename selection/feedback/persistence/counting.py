"""The script in Redis that counts updates once: marks, events, and sums."""

from selection.store.scripts import Script

# KEYS  stream, state, state of all contexts (the same key in the global context), contexts,
#       then the mark of each update
# ARGV  marks' TTL, now, context, context TTL, most contexts, the prefix of states' keys, what all
#       updates share as msgpack (empty if they teach nothing), then event and update of each as
#       msgpack
# Returns 1 for each update that counts now and 0 for each seen before, and the texts of the sums
# that are left: by kind and arm of the context's state, then of that of all contexts.
#
# The order of arithmetic is that of `learn_in` in `sums.py`: both agree to the
# bit. All is read, computed and packed before anything is written, as Redis takes nothing back if a
# script fails half way. Contexts give way before the first update, whose entry names them for
# replays.
SCRIPT = Script("""
local MARKS, EVENTS = 4, 7  -- before the first of these in KEYS and in ARGV
local counted, counting = {}, {}
local before, seen = redis.call('MGET', unpack(KEYS, MARKS + 1)), {}
for i, mark in ipairs(before) do
  local key = KEYS[MARKS + i]
  counted[i] = (mark or seen[key]) and 0 or 1
  seen[key] = true
  if counted[i] == 1 then
    counting[#counting + 1] = i
  end
end

-- Write the events and their marks; returns where the last is in the stream.
local function count(gone)
  local position
  for number, i in ipairs(counting) do
    local entry = {'event', ARGV[EVENTS + 2 * i - 1]}
    if number == 1 and #gone > 0 then
      entry[3], entry[4] = 'gone', cmsgpack.pack(gone)
    end
    position = redis.call('XADD', KEYS[1], '*', unpack(entry))
    redis.call('SET', KEYS[MARKS + i], '1', 'EX', ARGV[1])
  end
  return position
end

if ARGV[7] == '' or #counting == 0 then
  count({})
  return {counted, {}}
end
local state, general, contexts = KEYS[2], KEYS[3], KEYS[4]
local now, context, ttl, most = ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local arms, routed, at_ms, keep, version_share, kinds, pairs_kind = unpack(cmsgpack.unpack(ARGV[7]))

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
  local known = not is_new or (key ~= state and key ~= people_of(state))
  return known and redis.call('HMGET', key, unpack(fields)) or {}
end

local function read_all(key)
  local known = not is_new or (key ~= state and key ~= people_of(state))
  return known and redis.call('HGETALL', key) or {}
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

-- The sums of each arm as text, or as numbers of one that is new.
local function join(key, family)
  local stored, known, sum = read(key, fields_of(family.prefix, arms)), 0, 0
  local vectors, missing = {}, {}
  for i in ipairs(arms) do
    local text = stored[i]
    if text then
      vectors[i] = text
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
    local former, vector = not family.alone and predecessor(all, family, arms[i]), {}
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
local function recheck(vectors, deltas, family)
  local changed, lately = false, family.keeps[3]
  for i, vector in ipairs(vectors) do
    if deltas[arms[i]] then
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
  return changed
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

-- A state while it is worked on: its kinds of sums, each with those of all arms, and its feedback.
local function opened(key)
  local texts, feedback = read(key, fields_of(FEEDBACK, arms)), {}
  for i, arm in ipairs(arms) do
    feedback[arm] = texts[i] or 0
  end
  return {key = key, families = {}, feedback = feedback, taught = {}, rows = {}, both = {}}
end

-- A group's weights and rewards by arm, out of their text; behind '' is what is past.
local function parsed_row(text)
  local row, at = {}, 1
  while text and at <= #text do
    local n, s, arm, following = struct.unpack('<ddBc0', text, at)
    row[arm], at = {n, s}, following
  end
  return row
end

-- The only arm that has sums, if it is the only one, and its mean reward.
local function single_of(one)
  local sums, all = one.sums or {}, one.sums and {} or read_all(one.key)
  for i = 1, #all, 2 do
    if string.sub(all[i], 1, #SUMS) == SUMS then
      sums[string.sub(all[i], #SUMS + 1)] = {struct.unpack(SUMS_FORMAT, all[i + 1])}
    end
  end
  local arm, known = next(sums)
  if arm and not next(sums, arm) then
    return arm, known[1] > 0 and known[2] / known[1] or 0
  end
end

-- Sums by person begin anew for all arms (`person_sums.py`), with what is past of people.
local function begin_people(one)
  local single, mean = single_of(one)
  local rows = one.rows
  local stored = one.begun and {} or read_all(people_of(one.key))
  for i = 1, #stored, 2 do
    local group = tonumber(stored[i])
    rows[group] = rows[group] or parsed_row(stored[i + 1])
  end
  one.begun, one.sums, one.rows, one.both = true, {}, {}, {}
  for group, row in pairs(rows) do
    local past, own = row[''] or {0, 0}, single and row[single] or {0, 0}
    if own[1] > past[1] then
      past = {own[1], (own[2] - mean * own[1]) / (own[1] + PRIOR)}
    end
    if past[1] > 0 then
      one.rows[group] = {[''] = past}
    end
  end
  for _, arm in ipairs(routed) do
    one.sums[arm] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
  end
end

local function read_people(one)
  local fields = fields_of(SUMS, routed)
  fields[#fields + 1] = SUMMED
  local texts, sums = read(one.key, fields), {}
  local known = texts[#fields] == string.format('%d', #routed)
  for i, arm in ipairs(routed) do
    known = known and texts[i]
    sums[arm] = known and {struct.unpack(SUMS_FORMAT, texts[i])}
  end
  if not known then
    return begin_people(one)
  end
  one.sums = sums
end

-- A group's row; nothing of nobody in particular.
local function row_of(one, group)
  if group < 0 then
    return {}
  end
  if not one.rows[group] then
    one.rows[group] = parsed_row(not one.begun and read(people_of(one.key), {group})[1])
  end
  return one.rows[group]
end

-- By arm and other arm: the name of the pair, and whether the arm comes after the other.
local pair_names = {}
local function pair_of(arm, other)
  local names = pair_names[arm] or {}
  pair_names[arm] = names
  if not names[other] then
    local after = comes_after(arm, other)
    names[other] = {after and other .. ' ' .. arm or arm .. ' ' .. other, after}
  end
  return names[other]
end

local function both_of(one, pair)
  if not one.both[pair] then
    local text = not one.begun and read(one.key, {BOTH .. pair})[1]
    one.both[pair] = text and {struct.unpack(BOTH_FORMAT, text)} or {0, 0, 0, 0, 0, 0, 0, 0}
  end
  return one.both[pair]
end

-- What one arm of a label adds, in the order of `person_sums.count`.
local function count_arm(one, row, arm, dn, ds)
  local sums, past = one.sums[arm], row[''] and row[''][2] or 0
  local n, s = unpack(row[arm] or {0, 0})
  local dnn, dns = dn * (n + n + dn), n * ds + dn * s + dn * ds
  one.sums[arm] = {
    sums[1] + dn, sums[2] + ds, sums[3] + dnn, sums[4] + dns, sums[5] + ds * (s + s + ds),
    sums[6] + 1, sums[7] + dn * past, sums[8] + dnn * past, sums[9] + dnn * past * past,
    sums[10] + dns * past
  }
  for _, other in ipairs(routed) do
    if other ~= arm and row[other] then
      local m, t, pair = row[other][1], row[other][2], pair_of(arm, other)
      local known, x, y = both_of(one, pair[1]), dn * t, ds * m
      if pair[2] then
        x, y = y, x
      end
      known[1], known[2], known[3], known[4]
        = known[1] + dn * m, known[2] + x, known[3] + y, known[4] + ds * t
      known[5], known[6], known[7], known[8]
        = known[5] + dn * m * past, known[6] + dn * m * past * past,
          known[7] + x * past, known[8] + y * past
    end
  end
  row[arm] = {n + dn, s + ds}
end

local function count_people(one, counts, group)
  if not one.sums then
    read_people(one)
  end
  local row = row_of(one, group)
  for _, arm in ipairs(routed) do
    if counts[arm] then
      count_arm(one, row, arm, counts[arm][1], counts[arm][2])
    end
  end
end

local function add_kind(one, kind)
  local name, width, relative, keeps, by_arm, evidence, levelled = unpack(kind)
  local family = {
    name = name, prefix = name .. ':', width = width, relative = relative, keeps = keeps,
    by_arm = by_arm, evidence = evidence, levelled = levelled, alone = evidence or kind[9],
    format = '<' .. string.rep('d', width)
  }
  family.vectors = join(one.key, family)
  one.families[#one.families + 1] = family
end

-- What an update adds to one kind of sums.
local function add(family, deltas)
  local vectors = family.vectors
  for i, vector in ipairs(vectors) do
    -- Where nothing of it will change it stays the text that it is.
    local changes = family.by_arm < family.width or deltas[arms[i]]
    if type(vector) == 'string' and changes then
      vectors[i] = unpacked(family, vector)
    end
  end
  if family.levelled then
    deltas = above_level(deltas, vectors)
  end
  for i, vector in ipairs(vectors) do
    local delta = deltas[arms[i]]
    if delta or family.by_arm < family.width then
      for j, x in ipairs(vector) do
        local fades = delta or j <= family.width - family.by_arm
        vector[j] = x * (fades and (family.keeps[j] or keep) or 1) + (delta and delta[j] or 0)
      end
    end
  end
  return family.evidence and recheck(vectors, deltas, family)
end

-- What a context's own rewards tell everybody, each beside the mean before it; nil: there are none.
local function paired(one, deltas)
  local found
  for number, family in ipairs(one.families) do
    if family.name == REWARDS then
      for i, vector in ipairs(family.vectors) do
        local delta = deltas[number][arms[i]]
        if delta then
          local sums = type(vector) == 'string' and unpacked(family, vector) or vector
          local count, mean, reward = sums[1], sums[2] / sums[1], delta[2]
          found = found or {}
          found[arms[i]] = count > 0 and {1, mean, reward, mean * reward} or {0, 0, 0, 0}
        end
      end
    end
  end
  return found
end

local function teach(one, deltas, observed, counts, group)
  local anew = false
  for number, family in ipairs(one.families) do
    if deltas[number] then
      anew = add(family, deltas[number]) or anew
    end
  end
  if anew then
    begin_people(one)
  elseif next(counts) then
    count_people(one, counts, group)
  end
  for _, arm in ipairs(observed) do
    one.feedback[arm] = one.feedback[arm] + 1
    one.taught[arm] = true
  end
end

-- The fields to write of a state; the texts of all its sums go to `left`, in order.
local left = {}
local function written(one)
  local fields = {}
  for _, family in ipairs(one.families) do
    for i, vector in ipairs(family.vectors) do
      local text = vector
      if type(vector) == 'table' then
        text = struct.pack(family.format, unpack(vector))
        fields[#fields + 1], fields[#fields + 2] = family.prefix .. arms[i], text
      end
      left[#left + 1] = text
    end
  end
  for arm in pairs(one.taught) do
    local count = string.format('%d', one.feedback[arm])
    fields[#fields + 1], fields[#fields + 2] = FEEDBACK .. arm, count
  end
  return fields
end

-- Add the sums by person to the fields to write of a state, and return those of its people.
local function written_people(one, fields)
  local rows = {}
  if one.sums then
    fields[#fields + 1], fields[#fields + 2] = SUMMED, string.format('%d', #routed)
  end
  for arm, sums in pairs(one.sums or {}) do
    fields[#fields + 1], fields[#fields + 2] = SUMS .. arm, struct.pack(SUMS_FORMAT, unpack(sums))
  end
  for pair, sums in pairs(one.both) do
    fields[#fields + 1], fields[#fields + 2] = BOTH .. pair, struct.pack(BOTH_FORMAT, unpack(sums))
  end
  for group, row in pairs(one.rows) do
    local text = {row[''] and struct.pack('<ddB', row[''][1], row[''][2], 0)}
    for _, arm in ipairs(routed) do
      if row[arm] then
        text[#text + 1] = struct.pack('<ddBc0', row[arm][1], row[arm][2], #arm, arm)
      end
    end
    rows[#rows + 1], rows[#rows + 2] = group, table.concat(text)
  end
  return rows
end

-- A few at a time: `unpack` takes no more than 8,000 values, which pairs of 100 arms exceed.
local function set(key, fields)
  for first = 1, #fields, 2000 do
    redis.call('HSET', key, unpack(fields, first, math.min(first + 1999, #fields)))
  end
end

local function write(one, position, fields, rows)
  if one.begun then
    redis.call('DEL', people_of(one.key))
    for _, field in ipairs(redis.call('HKEYS', one.key)) do
      if string.sub(field, 1, #SUMS) == SUMS or string.sub(field, 1, #BOTH) == BOTH then
        redis.call('HDEL', one.key, field)
      end
    end
  end
  redis.call('HSET', one.key, UPDATED, now, POSITION, position)
  set(one.key, fields)
  set(people_of(one.key), rows)
end

local own, everybodys = opened(state), state ~= general and opened(general)
for _, kind in ipairs(kinds) do
  if not (everybodys and kind[9]) then
    add_kind(own, kind)
  end
  if everybodys then
    add_kind(everybodys, kind)
  end
end
for _, i in ipairs(counting) do
  local observed, deltas, counts, group, everybodys_group
    = unpack(cmsgpack.unpack(ARGV[EVENTS + 2 * i]))
  local tells = everybodys and paired(own, deltas)
  teach(own, deltas, observed, counts, group)
  if tells then
    if #everybodys.families == #kinds then
      add_kind(everybodys, pairs_kind)
    end
    deltas[#kinds + 1] = tells
  end
  if everybodys then
    teach(everybodys, deltas, observed, counts, everybodys_group)
  end
end
local fields, everybodys_fields = written(own), everybodys and written(everybodys)
local rows = written_people(own, fields)
local everybodys_rows = everybodys and written_people(everybodys, everybodys_fields)

local position = count(gone)
for _, one in ipairs(gone) do
  redis.call('ZREM', contexts, one)
  redis.call('DEL', ARGV[6] .. one, people_of(ARGV[6] .. one))
end
write(own, position, fields, rows)
if everybodys then
  write(everybodys, position, everybodys_fields, everybodys_rows)
  redis.call('EXPIRE', state, ttl + EXPIRY_MARGIN_S)
  redis.call('EXPIRE', people_of(state), ttl + EXPIRY_MARGIN_S)
  redis.call('ZADD', contexts, now, context)
end
return {counted, left}
""")
