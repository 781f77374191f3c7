"""Keep one shared MCP server alive from the shell prompt."""
