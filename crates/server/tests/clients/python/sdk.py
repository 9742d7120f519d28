"""The client of the official Python SDK, package `mcp`."""

import asyncio

import httpx2
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

from plan import LEGACY, follow, plan


async def main():
    told = plan()
    mode = "legacy" if told["revision"] == LEGACY else told["revision"]
    if told.get("auto"):
        mode = "auto"
    if "url" in told:
        headers = {"authorization": f"Bearer {told['key']}"}
        limits = httpx2.Limits(max_connections=100)
        web = httpx2.AsyncClient(headers=headers, trust_env=False, timeout=120, limits=limits)
        transport = streamable_http_client(told["url"], http_client=web)
    else:
        command, *arguments = told["command"]
        server = StdioServerParameters(command=command, args=arguments, cwd=told["cwd"], env=told.get("env"))
        transport = stdio_client(server)
    async with Client(transport, mode=mode, read_timeout_seconds=120) as client:

        async def tools():
            return (await client.list_tools()).tools

        async def call(name, arguments, heard):
            return await client.call_tool(name, arguments, progress_callback=heard)

        await follow(told, client.instructions, tools, call)


asyncio.run(main())
