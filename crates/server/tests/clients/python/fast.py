"""The client of FastMCP. Where the package `fastmcp_tasks` is installed, importing it makes every client speak tasks."""

import asyncio
import importlib.util

from fastmcp import Client
from fastmcp.client.transports import StdioTransport, StreamableHttpTransport

from plan import LEGACY, follow, plan

if importlib.util.find_spec("fastmcp_tasks"):
    import fastmcp_tasks  # noqa: F401


async def main():
    told = plan()
    mode = "legacy" if told["revision"] == LEGACY else told["revision"]
    if told.get("auto"):
        mode = "auto"
    if "url" in told:
        transport = StreamableHttpTransport(told["url"], auth=told["key"])
    else:
        command, *arguments = told["command"]
        transport = StdioTransport(
            command, arguments, env=told.get("env"), cwd=told["cwd"], keep_alive=False
        )
    async with Client(transport, mode=mode, timeout=120) as client:

        async def call(name, arguments, heard):
            if told.get("tasks"):
                return await tasked(client, told["tasks"], name, arguments)
            return await client.call_tool_mcp(name, arguments, progress_handler=heard)

        await follow(told, client.instructions, client.list_tools, call)


async def tasked(client, what, name, arguments):
    """Calls a tool as a task, and fetches its result, or cancels it."""
    from fastmcp_tasks.client import call_tool_task

    task = await call_tool_task(client, name, arguments, raise_on_error=False)
    if what == "cancel":
        await task.cancel()
        status = await task.wait()
        return Told(status.status, status.status == "failed")
    said = []
    while (status := await task.status()).status == "working":
        said.append(status.status_message)
        await asyncio.sleep(0.05)
    result = await task.result()
    text = "".join(getattr(part, "text", "") for part in result.content)
    said = [one for one in said if one]
    return Told(f"{status.status} {text} {said}", result.is_error)


class Told:
    def __init__(self, text, failed):
        self.content = [type("Text", (), {"text": text})()]
        self.is_error = failed


asyncio.run(main())
