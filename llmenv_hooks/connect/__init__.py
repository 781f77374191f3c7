"""`connect`: what an agent runs as its stdio MCP server.  Standard library and `helper` only.

Its rooms, from the ground up; each imports those above it alone:

    wires       what a connection to a service is; by the bridge's socket
    webwire     by HTTP
    agentpipe   the agent itself
    reaching    the service is started, if need be
    connector   messages go between the two
"""
