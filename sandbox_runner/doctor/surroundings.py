"""Which runtime makes the containers that the doctor examines, and whether on this machine."""

from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import dataclass, replace

from anyio import to_thread

from sandbox_runner.config import Config
from sandbox_runner.doctor.enforcement import CONTROLS, enforcer
from sandbox_runner.doctor.finding import Finding
from sandbox_runner.engines.choice import OCI
from sandbox_runner.engines.gvisor import NAME as RUNSC


@dataclass(frozen=True, slots=True)
class Surroundings:
    """``runtime``: crun, runc or runsc. ``local``: the engine reads limits back on its own machine."""

    runtime: str
    local: bool

    @property
    def sentry(self) -> bool:
        """Whether programs run under gVisor's kernel."""
        return self.runtime == RUNSC

    def named(self, finding: Finding) -> Finding:
        """``finding`` with what enforces its control here."""
        if finding.control not in CONTROLS:
            return finding
        return replace(finding, enforced_by=enforcer(finding.control, self.runtime).by)


OF_KERNEL = Surroundings("runc", local=True)


async def find_surroundings(config: Config) -> Surroundings:
    """What ``config``, whose engine is chosen, means here. Raises EngineError where its runtime is none."""
    return await to_thread.run_sync(_embedded if config.engine == OCI else _daemon, config)


async def named(findings: AsyncIterator[Finding], here: Surroundings) -> AsyncIterator[Finding]:
    """Each of ``findings`` with what enforces its control."""
    async for finding in findings:
        yield here.named(finding)


def _embedded(config: Config) -> Surroundings:
    from sandbox_runner.engines.oci.cgroups import find_hierarchies  # noqa: PLC0415 - for those who use it
    from sandbox_runner.engines.oci.runtime import find_runtime  # noqa: PLC0415 - as above

    return Surroundings(find_runtime(config.oci_runtime, unified=find_hierarchies().unified).name, local=True)


def _daemon(config: Config) -> Surroundings:
    from sandbox_runner.engines.docker.connection import connect, find_address, is_local  # noqa: PLC0415 - the SDK
    from sandbox_runner.engines.docker.faults import engine_errors  # noqa: PLC0415 - as above
    from sandbox_runner.engines.docker.runtimes import Runtimes  # noqa: PLC0415 - as above

    address = find_address(config.docker_host)
    with closing(connect(config.docker_host)) as client, engine_errors(address):
        found = Runtimes(client).find(config.oci_runtime)
    return Surroundings(RUNSC if found.has_sentry else found.program, local=is_local(address))
