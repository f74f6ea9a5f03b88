-- Begin a new epoch of a channel, if it is in a certain one still.
--
-- KEYS and their fields are those of keep.lua. What became of publishers' numbers stays: a repeat is one in any epoch.
-- ARGV 1  the epoch that is to end
--      2  the one that begins
--
-- Returns {epoch, offset, id} as they are then; nil of an unknown channel.

if redis.call('HGET', KEYS[1], 'e') == ARGV[1] then
    redis.call('UNLINK', KEYS[2])
    redis.call('HSET', KEYS[1], 'e', ARGV[2], 'o', '0', 'i', '0')
end
local head = redis.call('HMGET', KEYS[1], 'e', 'o', 'i')
return head[1] and head
