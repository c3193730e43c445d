"""Every setting, defined once (`settings`), and where the values come from (`sources`)."""

from sandbox_runner.config.settings import SETTINGS, Config, format_setting, settings_table
from sandbox_runner.config.sources import Effective, load_config

__all__ = [
    "SETTINGS",
    "Config",
    "Effective",
    "format_setting",
    "load_config",
    "settings_table",
]
