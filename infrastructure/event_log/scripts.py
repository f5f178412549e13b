"""What Redis does in one step each, for `infrastructure.event_log.redis`. See `stored` for what the keys hold.

`APPEND` touches the keys of many runs at once, which a Redis Cluster does not allow.
"""

from typing import Final

from infrastructure.redis.script import Script

APPENDED: Final = 1
UNLIKE: Final = 0
FENCED: Final = -1

# KEYS: for each run its hash and its stream. ARGV: the writer's name, then for each run: fence, the frame before the
# batch, its last frame, frames, meta, ended ('1' or ''), milliseconds to keep it, and JSON of what is seldom:
# `make` {round, owner, since, base, text}: make the run anew, whatever is there of it. A call that took too long may be
# carried out behind later ones: it is known by its round.
# `trim` {from, next, to, text, anew}: drop the batches up to frame `to`, if the base is still `from`.
# Returns for each run: 1 appended, 0 the frame before is not the newest there, -1 another writer has the run.
APPEND: Final = Script("""
local replies = {}
for i = 1, #KEYS, 2 do
  local run, log, at = KEYS[i], KEYS[i + 1], (i - 1) * 4 + 2
  local fence, before, last = tonumber(ARGV[at]), ARGV[at + 1], ARGV[at + 2]
  local seldom = ARGV[at + 7] ~= '' and cjson.decode(ARGV[at + 7]) or {}
  local held = redis.call('HMGET', run, 'fence', 'seq', 'writer', 'round')
  local stored, seq, make, reply = tonumber(held[1] or -1), held[2], seldom.make, 0
  if stored > fence or (stored == fence and held[3] ~= ARGV[1]) then
    reply = -1
  elseif make and (stored < fence or tonumber(held[4]) < make.round) then
    redis.call('DEL', run, log)
    redis.call('HSET', run, 'fence', ARGV[at], 'writer', ARGV[1], 'round', make.round, 'since', make.since,
      'seq', make.base, 'base', make.base, 'text', make.text)
    if make.owner ~= cjson.null then redis.call('HSET', run, 'owner', make.owner) end
    reply = 1
  elseif stored == fence and seq == before then
    reply = 1
  end
  if reply == 1 then
    redis.call('XADD', log, last .. '-0', 'f', ARGV[at + 3], 'm', ARGV[at + 4])
    redis.call('HSET', run, 'seq', last)
    if ARGV[at + 5] ~= '' then redis.call('HSET', run, 'ended', '1') end
    local trim = seldom.trim
    if trim and redis.call('HGET', run, 'base') == trim.from then
      local text = trim.anew and '' or redis.call('HGET', run, 'text')
      redis.call('XTRIM', log, 'MINID', trim.next)
      redis.call('HSET', run, 'base', trim.to, 'text', text .. trim.text)
    end
    redis.call('PEXPIRE', run, ARGV[at + 6])
    redis.call('PEXPIRE', log, ARGV[at + 6])
  end
  replies[#replies + 1] = reply
end
return replies
""")

# KEYS: a run's hash and its stream. Returns nil, or the hash's fields and the stream's entries.
FETCH: Final = Script("""
local held = redis.call('HMGET', KEYS[1], 'owner', 'fence', 'since', 'seq', 'base', 'text')
if not held[2] then return nil end
return {held, redis.call('XRANGE', KEYS[2], '-', '+')}
""")

# KEYS: a run's hash and its stream. ARGV: fence, writer. Returns nil, or `ended`, or `fenced`, or what `FETCH` does; it
# says `since` and `fence` as they were.
TAKE: Final = Script("""
local held = redis.call('HMGET', KEYS[1], 'owner', 'fence', 'since', 'seq', 'base', 'text')
if not held[2] then return nil end
local mine, stored = tonumber(ARGV[1]), tonumber(held[2])
local again = stored == mine and redis.call('HGET', KEYS[1], 'writer') == ARGV[2]
if redis.call('HEXISTS', KEYS[1], 'ended') == 1 then return 'ended' end
if stored >= mine and not again then return 'fenced' end
if not again then
  redis.call('HSET', KEYS[1], 'fence', ARGV[1], 'writer', ARGV[2], 'since', held[4], 'round', 0)
end
return {held, redis.call('XRANGE', KEYS[2], '-', '+')}
""")

# KEYS: runs' hashes. Returns for each its fence and its newest frame.
CHECK: Final = Script("""
local replies = {}
for i, run in ipairs(KEYS) do replies[i] = redis.call('HMGET', run, 'fence', 'seq') end
return replies
""")
