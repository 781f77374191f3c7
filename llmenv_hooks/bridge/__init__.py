"""The bridge: many agents, one stdio MCP server.  Standard library and `helper` only."""
