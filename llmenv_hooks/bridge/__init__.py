"""The bridge: many agents, one stdio MCP server.  Standard library and `helper` only.

Its rooms, from the ground up; each imports those above it alone:

    lean                          asyncio without what is not needed
    messages                      JSON-RPC
    logs, families, pipes, child  a process that is kept running, and all below it; no MCP in these
    requests, http1, answers      HTTP/1.1
    refusals, guard, peers, tokens  who may ask
    sessions                      an agent, and what it asks
    servers, asks, eras, hub      the MCP server, and who gets what
    headers, schemas, exchanges   Streamable HTTP
    httpdoor, socketdoor          the two doors
    program                       the command line, the signals, the end
"""
