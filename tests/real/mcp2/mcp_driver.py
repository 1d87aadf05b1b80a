"""As ../strands/mcp_driver.py, with the SDK 2.x, which asks for the newest protocol first."""

import json
import os
import sys
import time

import anyio
from mcp import Client, MCPError, StdioServerParameters


def write(value):
    print(json.dumps(value), flush=True)


def plain(model):
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


async def run(client, asked):
    outcome = {"progress": []}
    noticed = anyio.Event()

    async def on_progress(progress, total, message):
        outcome["progress"].append([progress, total, message])
        noticed.set()

    async def make():
        try:
            outcome["result"] = plain(await client.call_tool(
                asked["name"], asked["arguments"], progress_callback=on_progress))
        except MCPError as error:
            outcome["error"] = plain(error.error)

    if not asked.get("cancel"):
        await make()
        return outcome
    async with anyio.create_task_group() as group:
        group.start_soon(make)
        await noticed.wait()
        group.cancel_scope.cancel()
    return {**outcome, "cancelled": True}


async def main(command):
    server = StdioServerParameters(command=command[0], args=command[1:], env=dict(os.environ))
    start = time.monotonic()
    async with Client(server) as client:
        seconds = time.monotonic() - start
        tools = await client.list_tools()
        write({"protocol": client.protocol_version, "server": plain(client.server_info),
               "instructions": client.instructions, "seconds": seconds,
               "tools": [plain(tool) for tool in tools.tools]})
        while line := await anyio.to_thread.run_sync(sys.stdin.readline):
            write(await run(client, json.loads(line)))


anyio.run(main, sys.argv[1:])
