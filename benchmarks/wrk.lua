-- Posts the bodies of a file, one a line, in turn.
--   wrk ... -s wrk.lua URL -- BODIES repeat|unique FIRST
-- `unique` writes a counter that starts at FIRST over the nine zeros of "0.000000000" in a body,
-- so that no two requests ask the same. A line may begin with a path of its own and a blank, before
-- its body. The environment's CLIPPER_BENCH_KEY is the API key.

local MARK = "0.000000000"
local heads, tails, whole = {}, {}, {}
local count, sent, unique = 0, 0, false

function init(args)
   unique = args[2] == "unique"
   sent = tonumber(args[3])
   wrk.method = "POST"
   wrk.headers["Content-Type"] = "application/json"
   wrk.headers["Authorization"] = "Api-Key " .. (os.getenv("CLIPPER_BENCH_KEY") or "none")
   for line in io.lines(args[1]) do
      count = count + 1
      local path, body = line:match("^(/%S*) (.*)$")
      local text = wrk.format(nil, path, nil, body or line)
      local start, stop = text:find(MARK, 1, true)
      whole[count] = text
      heads[count], tails[count] = text:sub(1, start + 1), text:sub(stop + 1)
   end
end

function request()
   sent = sent + 1
   local turn = sent % count + 1
   if unique then
      return heads[turn] .. string.format("%09d", sent) .. tails[turn]
   end
   return whole[turn]
end

-- One line of JSON for wrk.py, which reads nothing else.
function done(summary, latency)
   local errors = summary.errors
   io.write(string.format(
      '{"requests":%d,"duration_us":%d,"p50_us":%d,"p99_us":%d,' ..
      '"connect":%d,"read":%d,"write":%d,"timeout":%d,"status":%d}\n',
      summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
      errors.connect, errors.read, errors.write, errors.timeout, errors.status))
end
