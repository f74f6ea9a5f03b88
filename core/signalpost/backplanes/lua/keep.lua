-- Append an entry to a channel and publish it there, unless it is a repeat.
--
-- KEYS 1  the head of the channel, a hash:
--           e, o, i       epoch, and offset and id of the newest entry
--           s, h          for how many milliseconds entries are kept, and the head after them
--           x             when the lifetimes were set last, in milliseconds
--           p:PUBLISHER   that publisher's newest number and what became of it: "number epoch offset id ms"
--      2  its entries, a stream with the ids OFFSET-MILLISECONDS; the field v is what was published
--      3  by what a repeat is known again, a text "epoch offset id"; left out if there is nothing
-- ARGV 1  body
--      2  a number for the value; with the id before it, it makes the id of the entry
--      3  publisher
--      4  number
--      5  the publisher's number before it on this channel, if the answer about that is still to come; else 0
--      6  an epoch, if one begins
--      7  entries that are kept
--      8  for how many milliseconds
--      9  for how many milliseconds the head outlives them
--     10  channel of PUBLISH
--     11  for how many milliseconds a repeat is known again
--
-- Returns {epoch, offset, id, subscribers, 1 of a repeat}; nil if the number before it never came here. Then one that
-- was sent before this one has failed, and this one must not overtake it: numbers up to the newest count as seen.

local head, entries, once = KEYS[1], KEYS[2], KEYS[3]
local body, value, number, earlier = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[4]), tonumber(ARGV[5])
local mine = 'p:' .. ARGV[3]
local entries_life, head_life = tonumber(ARGV[8]), tonumber(ARGV[8]) + tonumber(ARGV[9])

-- As `chained` of backplane.py: an id stands for all entries before it, too.
local function chained(before)
    return (before * 40503 + value) % 1048575 + 1
end

local clock = redis.call('TIME')
local now = string.format('%d%03d', clock[1], math.floor(clock[2] / 1000))

local known = redis.call('HMGET', head, 'e', 'o', 'i', mine, 's', 'h', 'x')
local epoch, offset, previous = known[1], tonumber(known[2] or 0), tonumber(known[3] or 0)
local newest, first_epoch, first_offset, first_id = 0, nil, nil, nil
if known[4] then
    newest, first_epoch, first_offset, first_id = string.match(known[4], '^(%d+) (%w+) (%d+) (%d+)')
    newest = tonumber(newest)
end

if earlier > 0 and newest < earlier then
    return false
end

if number == newest then
    return {first_epoch, tonumber(first_offset), tonumber(first_id), 0, 1}
end

if number < newest then
    -- Not the newest one: look for it among the entries, from the newest backwards. Offset 0 if it is there no more.
    local from = '+'
    for _ = 1, 20 do
        local found = redis.call('XREVRANGE', entries, from, '-', 'COUNT', 100)
        for _, entry in ipairs(found) do
            local _, _, at, entry_id, entry_before = struct.unpack('>Bc6I8I4I4', entry[2][2])
            if entry_id == chained(entry_before) then
                return {epoch, at, entry_id, 0, 1}
            end
        end
        if #found < 100 then
            break
        end
        from = '(' .. found[#found][1]
    end
    return {epoch, 0, 0, 0, 1}
end

if once then
    local first = redis.call('GET', once)
    if first then
        first_epoch, first_offset, first_id = string.match(first, '^(%w+) (%d+) (%d+)$')
        redis.call('HSET', head, mine, ARGV[4] .. ' ' .. first .. ' ' .. now)
        if not epoch then
            redis.call('PEXPIRE', head, string.format('%.0f', head_life))
        end
        return {first_epoch, tonumber(first_offset), tonumber(first_id), 0, 1}
    end
end

local begun = not epoch
if begun then
    epoch = ARGV[6]
    -- A server without memory refuses the first write of a script, and no later one: the first must be one that needs some.
    if redis.call('EXISTS', entries) == 1 then
        redis.call('UNLINK', entries)
    end
end
offset = offset + 1

local id = string.format('%.0f', chained(previous))
local place = string.format('%.0f', offset)
local became = epoch .. ' ' .. place .. ' ' .. id
local payload = struct.pack('>Bc6I8I4I4', 1, epoch, offset, tonumber(id), previous) .. body
redis.call('XADD', entries, 'MAXLEN', '=', ARGV[7], place .. '-' .. now, 'v', payload)

-- The lifetimes are half as long again as they must be, so that they are not set each time.
local since = tonumber(now) - tonumber(known[7] or 0)
if begun or known[5] ~= ARGV[8] or known[6] ~= ARGV[9] or since < 0 or since * 2 > entries_life then
    redis.call('HSET', head, 'e', epoch, 'o', place, 'i', id, mine, ARGV[4] .. ' ' .. became .. ' ' .. now,
        's', ARGV[8], 'h', ARGV[9], 'x', now)
    redis.call('PEXPIRE', entries, string.format('%.0f', entries_life * 1.5))
    redis.call('PEXPIRE', head, string.format('%.0f', head_life + entries_life * 0.5))
    -- Publishers that were not heard of for as long are forgotten.
    if redis.call('HLEN', head) > 32 then
        local fields = redis.call('HGETALL', head)
        for at = 1, #fields, 2 do
            local last = string.sub(fields[at], 1, 2) == 'p:' and tonumber(string.match(fields[at + 1], '%d+$'))
            if last and last + head_life < tonumber(now) then
                redis.call('HDEL', head, fields[at])
            end
        end
    end
else
    redis.call('HSET', head, 'o', place, 'i', id, mine, ARGV[4] .. ' ' .. became .. ' ' .. now)
end

if once then
    redis.call('SET', once, became, 'PX', ARGV[11])
end
return {epoch, offset, tonumber(id), redis.call('PUBLISH', ARGV[10], payload), 0}
