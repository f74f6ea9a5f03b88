-- Set and remove fields of a table.
--
-- KEYS 1  the table, a hash
-- ARGV 1  after how many milliseconds the whole of it is removed; 0 for never
--      2  how many fields are removed; their names follow
--      …  then names and values, in turn, of those that are set

local removed = tonumber(ARGV[2])
-- A call takes some thousand arguments at most.
for first = 3, 2 + removed, 1000 do
    redis.call('HDEL', KEYS[1], unpack(ARGV, first, math.min(first + 999, 2 + removed)))
end
for first = 3 + removed, #ARGV, 1000 do
    redis.call('HSET', KEYS[1], unpack(ARGV, first, math.min(first + 999, #ARGV)))
end
if ARGV[1] == '0' then
    redis.call('PERSIST', KEYS[1])
else
    redis.call('PEXPIRE', KEYS[1], ARGV[1])
end
return 1
