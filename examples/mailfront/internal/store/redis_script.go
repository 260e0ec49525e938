package store

import "github.com/redis/go-redis/v9"

var (
	takeScript   = redis.NewScript(takeSource)
	swapScript   = redis.NewScript(swapSource)
	resealScript = redis.NewScript(resealSource)
	admitScript  = redis.NewScript(admitSource)
)

// The scripts use commands and options of Redis 6.0. A script is one step: no other
// command runs in the middle of it.

// takeSource is GETDEL, which is newer.
const takeSource = `
local value = redis.call('GET', KEYS[1])
if value then redis.call('DEL', KEYS[1]) end
return value`

// swapSource replaces KEYS[1], if it is ARGV[1], by ARGV[2], for ARGV[3] ms or for ever.
const swapSource = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[3] == '0' then redis.call('SET', KEYS[1], ARGV[2])
else redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
return 1`

// resealSource replaces KEYS[1], if it is ARGV[1], by ARGV[2]. Its expiry remains.
const resealSource = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
return 1`

// admitSource returns the ban in KEYS[1], if there is one. Otherwise it takes
// ARGV[2] from the bucket in KEYS[2], which takes ARGV[1] to refill, and returns 0
// or how long to wait. Times are in microseconds of the server's clock; see
// Limit.charge.
const admitSource = `
local ban = redis.call('GET', KEYS[1])
if ban then return {ban, 0} end
local refill, cost = tonumber(ARGV[1]), tonumber(ARGV[2])
if cost == 0 then return {'', 0} end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local full = tonumber(redis.call('GET', KEYS[2]) or '0')
if full < now then full = now end
if full > now + refill then full = now + refill end
local next = full + cost
local wait = next - now - refill
if wait > 0 then return {'', wait} end
redis.call('SET', KEYS[2], string.format('%.0f', next), 'PX', math.ceil((next - now) / 1000))
return {'', 0}`
