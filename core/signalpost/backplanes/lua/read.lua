-- Return the newest entries of a channel behind an offset.
--
-- KEYS and their fields are those of keep.lua.
-- ARGV 1  the offset; -1 for all that are kept
--      2  entries at most
--
-- Returns {epoch, offset, id, now, milliseconds that an entry is kept, entries}, newest first; nil of an unknown channel.

local head = redis.call('HMGET', KEYS[1], 'e', 'o', 'i', 's')
if not head[1] then
    return false
end
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local entries = {}
if ARGV[2] ~= '0' then
    entries = redis.call('XREVRANGE', KEYS[2], '+', string.format('%.0f', ARGV[1] + 1), 'COUNT', ARGV[2])
end
return {head[1], head[2], head[3], now, head[4] or '0', entries}
