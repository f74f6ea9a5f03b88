-- Begin a new epoch of a channel, if it is in a certain one still. What is kept stays, with its offsets and ids.
--
-- KEYS and their fields are those of keep.lua. What became of publishers' numbers stays: a repeat is one in any epoch.
-- ARGV 1  the epoch that is to end; empty for a channel of which nothing is known, which begins by that
--      2  the one that begins
--      3  for how many milliseconds the head is kept at least
--
-- Returns {epoch, offset, id} as they are then; nil of an unknown channel.

local head = KEYS[1]
if (redis.call('HGET', head, 'e') or '') == ARGV[1] then
    redis.call('HSET', head, 'e', ARGV[2])
    redis.call('HSETNX', head, 'o', '0')
    redis.call('HSETNX', head, 'i', '0')
    if redis.call('PTTL', head) < tonumber(ARGV[3]) then
        redis.call('PEXPIRE', head, ARGV[3])
    end
end
local now = redis.call('HMGET', head, 'e', 'o', 'i')
return now[1] and now
