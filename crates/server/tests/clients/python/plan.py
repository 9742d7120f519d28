"""What the scripts have in common: the plan of a case, and how its results are printed.

A plan is one JSON argument: `url` and `key`, or `command` and `cwd`; the `revision`, "2025-11-25" or "2026-07-28"; and
`steps`. A step is `{"call": TOOL, "arguments": {..}}` or `{"pause": SECONDS}`; with `"times": N` a call is made N times at
once. The result is one JSON line: the names of the `tools`, and one entry for each call.
"""

import asyncio
import json
import sys

LEGACY = "2025-11-25"


def plan():
    return json.loads(sys.argv[1])


async def follow(plan, instructions, tools, call):
    """Lists the tools with `tools()`, then makes the calls with `call(name, arguments)`."""
    tools = [tool.model_dump(by_alias=True, mode="json") for tool in await tools()]
    told = {"instructions": instructions, "tools": tools, "results": []}
    for step in plan["steps"]:
        if "pause" in step:
            await asyncio.sleep(step["pause"])
            continue
        calls = (one(call, step) for _ in range(step.get("times", 1)))
        told["results"] += await asyncio.gather(*calls)
    print(json.dumps(told))


async def one(call, step):
    progress = []

    async def heard(done, total, message):
        progress.append([done, total, message])

    try:
        result = await call(step["call"], step.get("arguments", {}), heard)
    except Exception as error:  # a failure is a result of the case
        return {"failure": f"{type(error).__name__}: {error}", "progress": progress}
    text = "".join(getattr(part, "text", "") for part in result.content)
    return {"error": bool(result.is_error), "text": text, "progress": progress}
