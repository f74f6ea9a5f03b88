-- Begin a new epoch of a channel, if it is in a certain one still.
--
-- KEYS and their fields are those of keep.lua. What became of publishers' numbers stays: a repeat is one in any epoch.
-- ARGV 1  the epoch that is to end; empty for a channel of which nothing is known, which begins by that
--      2  the one that begins
--      3  for how many milliseconds the head is kept, unless an entry comes
--
-- Returns {epoch, offset, id} as they are then; nil of an unknown channel.

local head, entries = KEYS[1], KEYS[2]
if (redis.call('HGET', head, 'e') or '') == ARGV[1] then
    redis.call('UNLINK', entries)
    redis.call('HDEL', head, 'x') -- the next entry sets all lifetimes
    redis.call('HSET', head, 'e', ARGV[2], 'o', '0', 'i', '0')
    redis.call('PEXPIRE', head, ARGV[3])
end
local now = redis.call('HMGET', head, 'e', 'o', 'i')
return now[1] and now
