-- Take a name, extend it, or give it back.
--
-- KEYS 1  the name; its value is who has it
-- ARGV 1  who asks
--      2  for how many milliseconds; 0 gives it back
--
-- Returns 1 if that is done. Else it returns who has it, or 0 if it was to be given back.

local owner = redis.call('GET', KEYS[1])
if ARGV[2] == '0' then
    return owner == ARGV[1] and redis.call('DEL', KEYS[1]) or 0
end
if owner and owner ~= ARGV[1] then
    return owner
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
