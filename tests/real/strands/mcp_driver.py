"""Drives an MCP server with the SDK 1.x: mcp_driver.py COMMAND ARGUMENT…

Writes what the server is and has. Then reads {"name":…,"arguments":…}, one a line, calls that tool,
and writes what came of it: {"result":…} or {"error":…}, and "progress". With "cancel":true the call
is given up at the first progress, and the outcome is {"cancelled":true}.
"""

import json
import os
import sys
import time

import anyio
import jsonschema
from mcp import ClientSession, McpError, StdioServerParameters, stdio_client, types


def write(value):
    print(json.dumps(value), flush=True)


def plain(model):
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


class Call:
    def __init__(self, session, asked):
        self.session = session
        self.asked = asked
        self.outcome = {"progress": []}
        self.noticed = anyio.Event()

    async def on_progress(self, progress, total, message):
        self.outcome["progress"].append([progress, total, message])
        self.noticed.set()

    async def make(self):
        try:
            result = await self.session.call_tool(self.asked["name"], self.asked["arguments"],
                                                  progress_callback=self.on_progress)
            self.outcome["result"] = plain(result)
        except McpError as error:
            self.outcome["error"] = plain(error.error)

    async def give_up(self):
        """This SDK leaves it to its users to tell the server."""
        id = self.session._request_id
        async with anyio.create_task_group() as group:
            group.start_soon(self.make)
            await self.noticed.wait()
            group.cancel_scope.cancel()
        await self.session.send_notification(types.ClientNotification(types.CancelledNotification(
            params=types.CancelledNotificationParams(requestId=id))))
        self.outcome["cancelled"] = True

    async def run(self):
        await (self.give_up() if self.asked.get("cancel") else self.make())
        return self.outcome


def check_failure(schemas, name, result):
    """Results that are errors match as well; the SDK itself looks at the others only."""
    if result.get("isError"):
        jsonschema.validate(result["structuredContent"], schemas[name])


async def main(command):
    server = StdioServerParameters(command=command[0], args=command[1:], env=dict(os.environ))
    async with stdio_client(server) as streams, ClientSession(*streams) as session:
        start = time.monotonic()
        hello = await session.initialize()
        seconds = time.monotonic() - start
        tools = [plain(tool) for tool in (await session.list_tools()).tools]
        for tool in tools:
            jsonschema.Draft202012Validator.check_schema(tool["inputSchema"])
            jsonschema.Draft202012Validator.check_schema(tool["outputSchema"])
        schemas = {tool["name"]: tool["outputSchema"] for tool in tools}
        await session.send_ping()
        write({"protocol": hello.protocolVersion, "server": plain(hello.serverInfo),
               "instructions": hello.instructions, "seconds": seconds, "tools": tools})
        while line := await anyio.to_thread.run_sync(sys.stdin.readline):
            asked = json.loads(line)
            outcome = await Call(session, asked).run()
            check_failure(schemas, asked["name"], outcome.get("result", {}))
            write(outcome)


anyio.run(main, sys.argv[1:])
