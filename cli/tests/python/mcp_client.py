"""The official Python client of MCP against `peerkit mcp`, or the server at a URL; see ../js/mcp.mjs for the argument.
It speaks the protocol without sessions of 2026-07-28 and, asked to, the one before."""

import asyncio
import json
import pathlib
import sys

import httpx2
import jsonschema
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

HINTS = ("read_only_hint", "destructive_hint", "idempotent_hint", "open_world_hint")
CALLS = json.loads((pathlib.Path(__file__).parent.parent / "mcp_calls.json").read_text())


def filled(args, peer):
    address = next(a for a in peer["listen_addrs"] if a.startswith("/ip4/127.0.0.1/tcp/"))
    return json.loads(json.dumps(args).replace("$PEER", peer["peer_id"]).replace("$ADDR", address))


async def every_tool(client, mode, peer):
    assert (client.protocol_version >= "2026-07-28") == (mode == "auto"), client.protocol_version
    tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert {call["tool"] for call in CALLS} == set(tools), tools.keys()
    for tool in tools.values():
        jsonschema.Draft202012Validator.check_schema(tool.input_schema)
        jsonschema.Draft202012Validator.check_schema(tool.output_schema)
        assert all(isinstance(getattr(tool.annotations, hint), bool) for hint in HINTS), tool.name
    for made in CALLS:
        for detail in ({}, {"detail": True}):
            # The client checks replies against the schema; those of failures are checked here.
            result = await client.call_tool(made["tool"], {**detail, **filled(made["args"], peer)})
            reply, fails = result.structured_content, made.get("fails")
            jsonschema.validate(reply, tools[made["tool"]].output_schema)
            assert json.loads(result.content[0].text) == reply, made
            assert result.is_error == (not reply["success"]) == bool(fails), (made, reply)
            assert not isinstance(fails, str) or reply["code"] == fails, (made, reply)
            assert "hint" not in made or made["hint"] in reply["hint"], (made, reply)
    resources = (await client.list_resources()).resources
    assert resources, "it offers none"
    for resource in resources:
        contents = (await client.read_resource(resource.uri)).contents
        assert json.loads(contents[0].text)["success"], resource


async def main(asked):
    [server] = asked["servers"]
    for mode in ("auto", "legacy"):
        if "url" in server:
            headers = {"Authorization": f"Bearer {server['token']}"}
            async with httpx2.AsyncClient(headers=headers, timeout=60) as http:
                transport = streamable_http_client(server["url"], http_client=http)
                async with Client(transport, mode=mode) as client:
                    await every_tool(client, mode, asked["peer"])
        else:
            async with Client(StdioServerParameters(**server), mode=mode) as client:
                await every_tool(client, mode, asked["peer"])


asyncio.run(main(json.loads(sys.argv[1])))
