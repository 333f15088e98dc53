"""The scripts that run inside Redis: every change of a cluster's keys is one of them, so no reader sees half a change.

Only text here; `app.observe.store` and `app.observe.health` call them. Versions are compared inside the script, because
two writers (agent pushes, direct informers) may hold different ones at the same moment.
"""

from __future__ import annotations

from typing import Final

OPERATION_FIELDS: Final = 10

#: Forgets the graves that have expired; they hold their object's last version for ten minutes.
_PRUNE: Final = r"""
local function prune(tombs, now)
  local all = redis.call('HGETALL', tombs)
  for i = 1, #all, 2 do
    if tonumber(string.match(all[i + 1], ' (%d+)$')) <= now then redis.call('HDEL', tombs, all[i]) end
  end
end
"""

#: ARGV: cluster, now_ms, timestamp, mode, list_version, agent, is_complete, then ten per operation:
#: action, kind, field, uid, version, event, terms, details, kind to add to the body, body.
#: Mode: event, part, list, register, resync. Answer: one code per operation (1 applied, 0 not), or [-1]: not tracked.
APPLY: Final = (
    _PRUNE
    + r"""
local cluster, now, timestamp, mode, list_version = ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4], ARGV[5]
local ours = 'headframe:observe:cluster:' .. cluster .. ':'
local health, state, tombs = 'clusters:' .. cluster .. ':health', ours .. 'state', ours .. 'tombstones'
local exists = redis.call('EXISTS', health) == 1
if (mode == 'event' or mode == 'part' or mode == 'list') and not exists then return {-1} end

local function compare(a, b)
  if a == b then return 0 end
  if not string.match(a, '^%d+$') or not string.match(b, '^%d+$') then return nil end
  if #a ~= #b then return #a < #b and -1 or 1 end
  return a < b and -1 or 1
end
local function split(text, separator)
  local parts = {}
  for part in string.gmatch(text, '[^' .. separator .. ']+') do parts[#parts + 1] = part end
  return parts
end
local function unindex(terms, member)
  for _, term in ipairs(split(terms, '\t')) do redis.call('SREM', 'headframe:observe:index:' .. term, member) end
end
local function bury(uid, version)
  if uid ~= '' then redis.call('HSET', tombs, uid, version .. ' ' .. (now + 600000)) end
end
local function announce(kind, event, field, uid, version, add_kind, body)
  if add_kind ~= '' then body = '{"kind":"' .. add_kind .. '",' .. string.sub(body, 2) end
  local message = '{"cluster":' .. cjson.encode(cluster) .. ',"event":{"type":"' .. event .. '","object":' .. body
    .. '},"timestamp":"' .. timestamp .. '"}'
  local base = 'cluster:' .. cluster .. ':resources'
  redis.call('PUBLISH', base, message)
  redis.call('PUBLISH', base .. ':' .. kind, message)
  redis.call('PUBLISH', 'resources:' .. kind, message)
  redis.call('PUBLISH', 'resources:all', message)
  redis.call('XADD', 'headframe:observe:changes', 'MAXLEN', '~', '50000', '*', 'cluster', cluster, 'kind', kind,
    'event', event, 'field', field, 'uid', uid, 'version', version)
end

local function put(kind, field, uid, version, event, terms, details, add_kind, body, force)
  local objects, entries = 'clusters:' .. cluster .. ':resources:' .. kind, ours .. 'entries:' .. kind
  local member = cluster .. '\t' .. kind .. '\t' .. field
  local known = redis.call('HGET', entries, field)
  local stored = redis.call('HEXISTS', objects, field) == 1
  if known and stored then
    local old_uid, old_version, _, old_terms = string.match(known, '^(.-)\n(.-)\n(.-)\n(.-)\n')
    local order = compare(version, old_version)
    if order == -1 and not force then return 0 end
    if old_uid == uid then
      if order == 0 and event ~= 'TERMINATING' and not force then
        redis.call('HDEL', ours .. 'held:' .. kind, field)
        return 0
      end
    else bury(old_uid, version) end
    unindex(old_terms, member)
  end
  local tomb = redis.call('HGET', tombs, uid)
  if tomb and not force then
    local dead_version, expires = string.match(tomb, '^(%S*) (%d+)$')
    local evidence = list_version ~= '' and list_version or version
    if tonumber(expires) > now and compare(evidence, dead_version) ~= 1 then return 0 end
  end
  if event == '' then event = stored and 'MODIFIED' or 'ADDED' end
  redis.call('HSET', objects, field, body)
  redis.call('HSET', entries, field, uid .. '\n' .. version .. '\n' .. now .. '\n' .. terms .. '\n' .. details)
  redis.call('HDEL', ours .. 'held:' .. kind, field)
  redis.call('HDEL', tombs, uid)
  for _, term in ipairs(split(terms, '\t')) do redis.call('SADD', 'headframe:observe:index:' .. term, member) end
  announce(kind, event, field, uid, version, add_kind, body)
  return 1
end

local function remove(kind, field, uid, version, expected, add_kind, body)
  local objects, entries = 'clusters:' .. cluster .. ':resources:' .. kind, ours .. 'entries:' .. kind
  local known = redis.call('HGET', entries, field)
  local old_uid, old_version, _, old_terms = '', '', '', ''
  if known then old_uid, old_version, _, old_terms = string.match(known, '^(.-)\n(.-)\n(.-)\n(.-)\n') end
  if known and uid ~= '' and old_uid ~= '' and old_uid ~= uid then
    bury(uid, version)
    return 0
  end
  if expected ~= '' and old_version ~= expected then return 0 end
  local last = redis.call('HGET', objects, field)
  if compare(old_version, version) == 1 then version = old_version end
  bury(uid ~= '' and uid or old_uid, version)
  if not last then return 0 end
  if body == '' then body = last end
  if add_kind ~= '' and string.find(body, '"kind":"' .. add_kind .. '"', 1, true) then add_kind = '' end
  redis.call('HDEL', objects, field)
  redis.call('HDEL', entries, field)
  redis.call('HDEL', ours .. 'held:' .. kind, field)
  unindex(old_terms, cluster .. '\t' .. kind .. '\t' .. field)
  announce(kind, 'DELETED', field, uid, version, add_kind, body)
  return 1
end

local results = {}
for i = 8, #ARGV, 10 do
  local action, kind, field, uid, version = ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3], ARGV[i + 4]
  local code = 0
  if action == 'put' or action == 'force' then
    code = put(kind, field, uid, version, ARGV[i + 5], ARGV[i + 6], ARGV[i + 7], ARGV[i + 8], ARGV[i + 9],
      action == 'force')
  elseif action == 'remove' then
    code = remove(kind, field, uid, version, ARGV[i + 5], ARGV[i + 8], ARGV[i + 9])
  elseif action == 'hold' then
    code = redis.call('HSETNX', ours .. 'held:' .. kind, field, uid .. ' ' .. now)
  elseif action == 'release' then
    code = redis.call('HDEL', ours .. 'held:' .. kind, field)
  end
  results[#results + 1] = code
end

if mode ~= 'event' and mode ~= 'part' then
  if mode ~= 'list' then
    redis.call('DEL', health)
    redis.call('HSET', health, 'cluster_name', cluster, 'state', 'starting', 'last_heartbeat', timestamp,
      'error_message', '', 'heartbeat_failures', '0')
    redis.call('HSET', state, 'received_ms', now, 'agent', ARGV[6])
    redis.call('HDEL', state, 'removing_ms')
  end
  if ARGV[7] == '1' then
    local before = tonumber(redis.call('HGET', state, 'generation') or '0')
    redis.call('HSET', state, 'generation', string.format('%.0f', math.max(before + 1, now)), 'completed_ms', now)
  end
  redis.call('HDEL', state, 'dirty')
  prune(tombs, now)
  local name = cjson.encode(cluster)
  if mode == 'register' then
    redis.call('PUBLISH', 'clusters:all', '{"cluster":' .. name .. ',"event_type":"ADDED","timestamp":"' .. timestamp
      .. '"}')
  elseif mode == 'resync' then
    redis.call('PUBLISH', 'clusters:all:reconnect', '{"cluster":' .. name .. ',"timestamp":"' .. timestamp .. '"}')
  end
end
return results
"""
)

#: ARGV: cluster, now_ms, timestamp, state, skew_ms, spacing_ms. Answer: absent, removing, unhealthy, resync or ok.
HEARTBEAT: Final = r"""
local cluster, now = ARGV[1], tonumber(ARGV[2])
local health, state = 'clusters:' .. cluster .. ':health', 'headframe:observe:cluster:' .. cluster .. ':state'
if redis.call('EXISTS', health) == 0 then return 'absent' end
if redis.call('HEXISTS', state, 'removing_ms') == 1 then return 'removing' end
redis.call('HSET', state, 'skew_ms', ARGV[5])
local before = redis.call('HGET', health, 'state')
if before ~= 'active' and before ~= 'starting' then return 'unhealthy' end
if redis.call('HEXISTS', state, 'dirty') == 1 then
  if now >= tonumber(redis.call('HGET', state, 'resync_at_ms') or '0') then
    redis.call('HSET', state, 'resync_at_ms', now + tonumber(ARGV[6]))
    return 'resync'
  end
end
redis.call('HSET', health, 'state', ARGV[4], 'last_heartbeat', ARGV[3], 'error_message', '')
redis.call('HSET', state, 'received_ms', now)
return 'ok'
"""

#: ARGV: cluster, expected state or '', new state, reason, now_ms, expected received_ms or ''. Answer: 1 when set.
SET_STATE: Final = r"""
local health = 'clusters:' .. ARGV[1] .. ':health'
local state = 'headframe:observe:cluster:' .. ARGV[1] .. ':state'
if redis.call('EXISTS', health) == 0 then return 0 end
if ARGV[2] ~= '' and redis.call('HGET', health, 'state') ~= ARGV[2] then return 0 end
if ARGV[6] ~= '' and redis.call('HGET', state, 'received_ms') ~= ARGV[6] then return 0 end
redis.call('HSET', health, 'cluster_name', ARGV[1], 'state', ARGV[3], 'error_message', ARGV[4],
  'heartbeat_failures', '0')
if redis.call('HEXISTS', health, 'last_heartbeat') == 0 then redis.call('HSET', health, 'last_heartbeat', '') end
return 1
"""

#: ARGV: cluster, reason, resync_at_ms. Marks a tracked cluster dirty; an earlier time already set stays.
MARK_DIRTY: Final = r"""
local state = 'headframe:observe:cluster:' .. ARGV[1] .. ':state'
if redis.call('EXISTS', 'clusters:' .. ARGV[1] .. ':health') == 0 then return 0 end
if redis.call('HSETNX', state, 'dirty', ARGV[2]) == 1 then
  local before = tonumber(redis.call('HGET', state, 'resync_at_ms') or '0')
  redis.call('HSET', state, 'resync_at_ms', string.format('%.0f', math.max(before, tonumber(ARGV[3]))))
  return 1
end
return 0
"""

#: ARGV: cluster, now_ms, spacing_ms. A comparison with the cluster found no difference: as good as a complete list.
#: Answer: 1 when it counted; not for a cluster without a first list, a dirty one, or within the spacing.
CONFIRM: Final = (
    _PRUNE
    + r"""
local now, state = tonumber(ARGV[2]), 'headframe:observe:cluster:' .. ARGV[1] .. ':state'
if redis.call('EXISTS', 'clusters:' .. ARGV[1] .. ':health') == 0 then return 0 end
prune('headframe:observe:cluster:' .. ARGV[1] .. ':tombstones', now)
local before = tonumber(redis.call('HGET', state, 'generation') or '0')
if before == 0 or redis.call('HEXISTS', state, 'dirty') == 1 then return 0 end
local completed = tonumber(redis.call('HGET', state, 'completed_ms') or '0')
if now - completed >= 0 and now - completed < tonumber(ARGV[3]) then return 0 end
redis.call('HSET', state, 'generation', string.format('%.0f', math.max(before + 1, now)), 'completed_ms', now)
return 1
"""
)

#: ARGV: cluster, timestamp, latest received_ms that still allows it or ''. Forgets a cluster and says so.
CLEAR: Final = r"""
local cluster = ARGV[1]
local ours = 'headframe:observe:cluster:' .. cluster .. ':'
if ARGV[3] ~= '' and redis.call('HGET', ours .. 'state', 'removing_ms') ~= ARGV[3] then return 0 end
for _, kind in ipairs({'node', 'deployment', 'service', 'pod', 'job'}) do
  local entries = redis.call('HGETALL', ours .. 'entries:' .. kind)
  for i = 1, #entries, 2 do
    local terms = string.match(entries[i + 1], '^.-\n.-\n.-\n(.-)\n')
    for term in string.gmatch(terms or '', '[^\t]+') do
      redis.call('SREM', 'headframe:observe:index:' .. term, cluster .. '\t' .. kind .. '\t' .. entries[i])
    end
  end
  redis.call('DEL', 'clusters:' .. cluster .. ':resources:' .. kind)
  redis.call('DEL', ours .. 'entries:' .. kind, ours .. 'held:' .. kind)
end
redis.call('DEL', 'clusters:' .. cluster .. ':health', ours .. 'state', ours .. 'tombstones')
redis.call('PUBLISH', 'clusters:all', '{"cluster":' .. cjson.encode(cluster) .. ',"event_type":"DELETED","timestamp":"'
  .. ARGV[2] .. '"}')
return 1
"""
