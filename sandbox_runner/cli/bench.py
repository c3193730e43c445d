"""`sandbox-runner bench`: what runs cost on this machine, beside the bare interpreter and other sandboxes."""

import argparse
import json
from pathlib import Path
from typing import Any

import anyio

from sandbox_runner.bench import MEASURES, measure
from sandbox_runner.bench.chart import drawn
from sandbox_runner.bench.plan import ENGINES
from sandbox_runner.bench.report import HEADINGS, rows
from sandbox_runner.cli.exits import emit, say
from sandbox_runner.cli.parsing import add_settings, settings
from sandbox_runner.cli.table import emit_table
from sandbox_runner.config import Config, load_config
from sandbox_runner.errors import InvalidRequest

EXAMPLES = """\
sandbox-runner bench --quick
sandbox-runner bench --only cold warm --engine oci+crun
sandbox-runner bench --json figures.json --chart figures.png"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `bench`."""
    parser.epilog = (parser.epilog or "") + (
        f"\n\nmeasures: {', '.join(MEASURES)}; all take about 20 minutes, with --quick about 2.\n"
        "The peers are the bare interpreter, docker run, docker exec, bwrap and llm-sandbox, where they are\n"
        "installed. Nothing else should run on the machine meanwhile."
    )
    parser.add_argument(
        "--engine",
        choices=ENGINES,
        nargs="+",
        default=list(ENGINES),
        help="engines to measure; all by default",
    )
    parser.add_argument(
        "--only",
        choices=list(MEASURES),
        nargs="+",
        default=list(MEASURES),
        metavar="NAME",
        help="measures to make",
    )
    parser.add_argument("--quick", action="store_true", help="few rounds: to see that it works")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the machine's facts and all figures")
    parser.add_argument("--chart", type=Path, metavar="FILE.png", help="draw the figures, in a sandbox")
    add_settings(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Measures, writes the files that were asked for, and prints a table; the bars decide nothing."""
    for file in filter(None, (arguments.json, arguments.chart)):
        if not file.absolute().parent.is_dir():
            raise InvalidRequest(f"There is no folder for {file}; make it first.")
    config = load_config(flags=settings(arguments)).config
    document = anyio.run(_measure, config, arguments)
    if arguments.json:
        arguments.json.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", "utf-8")
    emit_table(HEADINGS, rows(document))
    emit(_below(document))
    if arguments.chart:
        arguments.chart.write_bytes(anyio.run(drawn, document, config))
    return 0


async def _measure(config: Config, arguments: argparse.Namespace) -> dict[str, Any]:
    return await measure(
        config, engines=arguments.engine, names=arguments.only, quick=arguments.quick, report=say
    )


def _below(document: dict[str, Any]) -> str:
    lines = [f"\nx bare: beside the median of {document['baseline']}, measured in turns."]
    lines += [f"not measured: {name}: {reason}" for name, reason in document["missing"].items()]
    if document["quick"]:
        lines.append("With --quick there are too few rounds for numbers to rely on.")
    return "\n".join(lines)
