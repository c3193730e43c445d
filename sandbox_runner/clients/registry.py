"""``server.json``: what the MCP Registry is told about this version. Schema 2025-12-11."""

from typing import Any

from sandbox_runner import __version__
from sandbox_runner.clients.offered import Offer, offers
from sandbox_runner.clients.project import Project

# The namespace belongs to whoever can log in to it when publishing. The README on PyPI must name it, too.
SERVER_NAME = "io.github.sandbox-runner/sandbox-runner"
_SCHEMA = "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json"


def server_document(project: Project) -> dict[str, Any]:
    """The whole document: one package, from PyPI, started by uvx."""
    return {
        "$schema": _SCHEMA,
        "name": SERVER_NAME,
        "title": "Sandbox Runner",
        "description": project.description,
        "version": __version__,
        "packages": [
            {
                "registryType": "pypi",
                "identifier": project.name,
                "version": __version__,
                "runtimeHint": "uvx",
                "transport": {"type": "stdio"},
                "packageArguments": [{"type": "positional", "value": "stdio"}],
                "environmentVariables": [_variable(offer) for offer in offers().values()],
            }
        ],
    }


def _variable(offer: Offer) -> dict[str, str]:
    default = {} if offer.default is None else {"default": offer.default}
    return {
        "name": offer.variable,
        "description": offer.description,
        "format": "number" if offer.is_number else "string",
        **default,
    }
