"""The MCP server: tools over one Runner. Nothing else here imports mcp, starlette or uvicorn."""
