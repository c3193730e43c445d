"""What the settings say about installing packages."""

from sandbox_runner.config import Config
from sandbox_runner.policy.packages import PackageRules


def package_rules(config: Config) -> PackageRules:
    """That part of ``config``."""
    return PackageRules(
        pip_index=config.pip_index,
        npm_registry=config.npm_registry,
        hosts=config.package_hosts,
        ca=config.package_ca,
        refused=config.refused_packages,
        time=config.package_time,
        memory=config.package_memory,
        disk=config.package_disk,
        cache=config.package_cache,
    )
