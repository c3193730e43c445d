"""`sandbox-runner http`: the MCP server over HTTP."""

import argparse
import gc
import logging

from sandbox_runner.cli.exits import emit, say
from sandbox_runner.cli.parsing import add_settings, settings
from sandbox_runner.config import Config, load_config
from sandbox_runner.errors import ConfigError, InvalidRequest

EXAMPLES = """\
sandbox-runner http
sandbox-runner http --new-key alice
sandbox-runner http --host 0.0.0.0 --set allowed_hosts=sandbox.example"""
_ENDS = """

On SIGTERM and Ctrl-C calls in progress may finish (drain_time); a second signal cuts them off.
exit status: 0 ended so; 2 a setting, a key or the address cannot be used; 128+n cut off by signal n"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `http`."""
    parser.epilog = (parser.epilog or "") + _ENDS
    parser.add_argument(
        "--host", help="the address to listen on (127.0.0.1); others than this machine's own need a key"
    )
    parser.add_argument("--port", help="the port to listen on (8000)")
    parser.add_argument(
        "--new-key", metavar="NAME", help="make a key for NAME, store its hash, print it once, and end"
    )
    parser.add_argument(
        "--ssl-certfile", metavar="FILE", help="serve TLS with this certificate; a proxy in front can, too"
    )
    parser.add_argument(
        "--ssl-keyfile", metavar="FILE", help="the certificate's key, if in a file of its own"
    )
    add_settings(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Serves until a signal comes, or makes a key."""
    flags = settings(arguments)
    flags |= {name: value for name in ("host", "port") if (value := getattr(arguments, name)) is not None}
    config = load_config(flags=flags).config
    if arguments.new_key is not None:
        return _make_key(config, arguments.new_key)
    if arguments.ssl_keyfile and not arguments.ssl_certfile:
        raise InvalidRequest("--ssl-keyfile is of no use without --ssl-certfile; give both.")
    return _serve(config, arguments.ssl_certfile, arguments.ssl_keyfile)


def _make_key(config: Config, name: str) -> int:
    from sandbox_runner.server.http.keys import add_key, keys_path  # noqa: PLC0415 - part of the server

    path = keys_path(config)
    if path is None:
        raise ConfigError("There is no home folder for the keys; name a file with --set keys_file=FILE.")
    secret = add_key(path, name)
    say(f"the key of {name}; it is shown this once, and {path} has its hash. Restart a running server.")
    emit(secret)
    return 0


def _serve(config: Config, certificate: str | None, key: str | None) -> int:
    # mcp takes over half a second to load: only the servers pay for it.
    import anyio  # noqa: PLC0415

    from sandbox_runner.server.http.serving import serve  # noqa: PLC0415

    gc.enable()  # the console script turns it off, for programs that end soon
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.WARNING)

    async def main() -> int:
        return await serve(config, say=say, certificate=certificate, key=key)

    return anyio.run(main)
