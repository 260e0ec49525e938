package store

import "github.com/redis/go-redis/v9"

var (
	takeScript   = redis.NewScript(takeSource)
	swapScript   = redis.NewScript(swapSource)
	resealScript = redis.NewScript(resealSource)
	admitScript  = redis.NewScript(admitSource)
)

// The scripts use commands and options of Redis 6.0. A script is atomic: no other command runs
// in between.

// takeSource is GETDEL, which Redis 6.0 does not have.
const takeSource = `
local value = redis.call('GET', KEYS[1])
if value then redis.call('DEL', KEYS[1]) end
return value`

// swapSource replaces the value of KEYS[1] by ARGV[2] if it is ARGV[1]. The new value expires
// after ARGV[3] ms, or never if that is 0.
const swapSource = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[3] == '0' then redis.call('SET', KEYS[1], ARGV[2])
else redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
return 1`

// resealSource replaces the value of KEYS[1] by ARGV[2] if it is ARGV[1]. The expiry does not change.
const resealSource = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'KEEPTTL')
return 1`

// admitSource returns the ban in KEYS[1], if there is one. Otherwise it charges the buckets in
// the other KEYS. Each bucket has three ARGV: the time in which it refills, the part of that
// time that the charge takes, and whether the charge is owed. The result is an empty string, and
// for each bucket 0 or the time to wait. Times are in microseconds of the server's clock; see
// Charge.apply.
const admitSource = `
local ban = redis.call('GET', KEYS[1])
if ban then return {ban} end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local answer = {''}
for i = 2, #KEYS do
  local refill, cost, owed = tonumber(ARGV[3*i-5]), tonumber(ARGV[3*i-4]), ARGV[3*i-3] == '1'
  local full = tonumber(redis.call('GET', KEYS[i]) or '0')
  full = math.min(math.max(full, now), now + 2 * refill)
  local next = full + cost
  local wait = math.max(0, next - now - refill)
  if wait == 0 or owed then
    next = math.min(next, now + 2 * refill)
    redis.call('SET', KEYS[i], string.format('%.0f', next), 'PX', math.ceil((next - now) / 1000))
  end
  answer[i] = wait
end
return answer`
