"""Telling MCP clients about this server, and packing it for them.

`definitions` is the table of clients, `command` what they are told to start, `documents` the edit of
a configuration as text (`json_text`, `toml_text`), `storage` the file, and `registration` all of it
together. `bundle` and `registry` make what is published, an ``.mcpb`` bundle and ``server.json``;
`python -m sandbox_runner.clients FOLDER` writes both.
"""
