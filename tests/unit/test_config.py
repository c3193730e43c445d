"""The settings: one definition, four sources, errors that say what to do."""

import re
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_runner.config import SETTINGS, Config, format_setting, load_config, settings_table
from sandbox_runner.config.sources import user_file
from sandbox_runner.errors import ConfigError, SandboxError
from sandbox_runner.request import format_size, parse_size

README = Path(__file__).parents[2] / "README.md"


def written(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "config.toml"
    path.write_text(text, encoding)
    return {"SANDBOX_RUNNER_CONFIG": str(path)}


def refusal(**sources):
    with pytest.raises(ConfigError) as error:
        load_config(**{"environ": {}, **sources})
    return str(error.value)


def test_a_flag_outweighs_the_environment_which_outweighs_the_file_which_outweighs_the_default(tmp_path):
    environ = written(tmp_path, "wall_time = 11\ncpus = 2\npids = 64\n")
    environ |= {"SANDBOX_RUNNER_CPUS": "3", "SANDBOX_RUNNER_PIDS": "65"}
    effective = load_config(flags={"pids": "66"}, environ=environ)
    config, sources = effective.config, effective.sources
    assert (config.wall_time, config.cpus, config.pids, config.memory) == (11, 3, 66, 512 << 20)
    assert sources["wall_time"] == f"file {tmp_path / 'config.toml'}"
    assert sources["cpus"] == "environment SANDBOX_RUNNER_CPUS"
    assert sources["pids"] == "command line"
    assert sources["memory"] == "default"


def test_every_setting_can_be_set_by_each_source_as_it_is_shown(tmp_path):
    defaults = {name: format_setting(name, getattr(Config(), name)) for name in SETTINGS}
    texts = {name: "" if text == "none" else text for name, text in defaults.items()}
    by_environment = load_config(environ={f"SANDBOX_RUNNER_{n.upper()}": text for n, text in texts.items()})
    by_flags = load_config(flags=texts, environ={})
    lines = "".join(f'{name} = "{text}"\n' for name, text in texts.items())
    by_file = load_config(environ=written(tmp_path, lines))
    assert by_environment.config == by_flags.config == by_file.config == Config()
    assert "default" not in {
        *by_environment.sources.values(),
        *by_flags.sources.values(),
        *by_file.sources.values(),
    }


def test_every_setting_has_a_description_a_unit_and_an_advice():
    bare = [
        name
        for name, setting in SETTINGS.items()
        if not (setting.description and setting.kind.unit and setting.kind.give)
    ]
    assert bare == []


def test_each_limit_has_a_ceiling_that_its_default_keeps():
    config = Config()
    limits = [name for name in SETTINGS if f"max_{name}" in SETTINGS]
    assert len(limits) == 14
    values = [(getattr(config, name), getattr(config, f"max_{name}")) for name in limits]
    assert all(value is None or value <= ceiling for value, ceiling in values)


def test_the_policy_carries_every_setting_that_decides_about_requests():
    config = Config(wall_time=7, max_code="2k", images=("a*",), oci_runtime="runsc")
    policy = config.policy()
    assert (policy.wall_time, policy.ceilings.code, policy.images, policy.oci_runtime) == (
        7,
        2048,
        ("a*",),
        "runsc",
    )
    for name in ("wall_time", "cpu_time", "memory", "cpus", "pids", "workspace", "tmp", "capture", "output"):
        assert getattr(policy, name) == getattr(config, name)
        assert getattr(policy.ceilings, name) == getattr(config, f"max_{name}")
    assert policy.ceilings.files == config.max_files
    assert policy.ceilings.file_bytes == config.max_file_bytes


def test_the_readme_has_the_table_that_the_definition_makes():
    parts = re.split(r"<!-- config table -->\n*", README.read_text("utf-8"))
    assert len(parts) == 3, "README.md has the table between two markers <!-- config table -->"
    assert parts[1].strip() == settings_table(), "paste what `sandbox-runner config --table` prints"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"memory": "lots"}, ["memory", "'lots'", "256m"]),
        ({"memory": "1m"}, ["memory", "16m or more"]),
        ({"memory": "-1"}, ["memory"]),
        ({"memory": "9" * 18 + "t"}, ["memory"]),
        ({"wall_time": "0"}, ["wall_time", "greater than zero"]),
        ({"wall_time": "nan"}, ["wall_time"]),
        ({"wall_time": "1e999"}, ["wall_time"]),
        ({"wall_time": ""}, ["wall_time"]),
        ({"cpus": "-1"}, ["cpus"]),
        ({"pids": "1"}, ["pids", "4 or more"]),
        ({"pids": "7.5"}, ["pids", "whole number"]),
        ({"max_concurrent": "0"}, ["max_concurrent", "1 or more"]),
        ({"engine": "podman"}, ["engine", "auto, docker or oci"]),
        ({"memroy": "1g"}, ["memroy", "did you mean memory?"]),
        ({"max-memory": "1g"}, ["max-memory", "did you mean max_memory?"]),
        ({"zzz": "1"}, ["zzz", "sandbox-runner config"]),
        (
            {"memory": "8g"},
            ["memory is 8g", "max_memory of 4g (default)", "lower memory or raise max_memory"],
        ),
        ({"max_wall_time": "10"}, ["wall_time is 30", "max_wall_time of 10 (command line)"]),
        ({"session_ttl": "1e6"}, ["session_ttl is 1000000", "max_session_ttl of 14400"]),
        ({"profile": "lax"}, ["profile is lax", "default,strict"]),
    ],
    ids=str,
)
def test_what_cannot_be_used_is_refused_with_its_name_its_value_and_a_remedy(flags, words):
    message = refusal(flags=flags)
    assert all(word in message for word in words), message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("memroy = '1g'", ["memroy is not a setting", "did you mean memory?"]),
        ("[limits]\nmemory = '1g'", ["limits is not a setting"]),
        ("pids = true", ["pids is True", "whole number"]),
        ("wall_time = inf", ["wall_time"]),
        ("wall_time = 1" + "0" * 400, ["wall_time"]),
        ("memory = 1.5", ["memory is 1.5"]),
        ("profiles = [1]", ["profiles", "a list"]),
        ("memory = ", ["is not TOML", "NAME = VALUE"]),
    ],
)
def test_an_error_in_the_file_names_the_file(tmp_path, text, words):
    message = refusal(environ=written(tmp_path, text))
    assert all(word in message for word in [str(tmp_path / "config.toml"), *words]), message
    assert "\n" not in message


def test_a_variable_that_is_no_setting_is_refused_with_what_was_meant():
    message = refusal(environ={"SANDBOX_RUNNER_MEMRY": "1g"})
    assert "SANDBOX_RUNNER_MEMRY" in message
    assert "did you mean SANDBOX_RUNNER_MEMORY?" in message


def test_the_variables_that_are_no_settings_are_let_be(tmp_path):
    environ = {**written(tmp_path, ""), "SANDBOX_RUNNER_TEST_BASE": "x", "SANDBOXER": "y"}
    assert load_config(environ=environ).config == Config()


def test_a_configuration_file_that_was_named_must_exist(tmp_path):
    message = refusal(environ={"SANDBOX_RUNNER_CONFIG": str(tmp_path / "none.toml")})
    assert "none.toml" in message
    assert "correct or unset it" in message


def test_a_file_that_cannot_be_read_or_is_no_text_is_refused(tmp_path):
    assert "cannot be read" in refusal(environ={"SANDBOX_RUNNER_CONFIG": str(tmp_path)})
    assert "is not UTF-8" in refusal(environ=written(tmp_path, "# ü", "latin-1"))
    assert "bytes" in refusal(environ={"SANDBOX_RUNNER_CONFIG": "/dev/zero"})


def test_a_byte_order_mark_as_windows_editors_write_it_is_let_pass(tmp_path):
    assert load_config(environ=written(tmp_path, "cpus = 2", "utf-8-sig")).config.cpus == 2


def test_the_users_file_is_found_below_xdg_config_home_or_dot_config(tmp_path):
    environ = {"XDG_CONFIG_HOME": str(tmp_path / "xdg"), "HOME": str(tmp_path)}
    assert user_file(environ) == tmp_path / "xdg/sandbox-runner/config.toml"
    assert user_file({"HOME": str(tmp_path)}) == tmp_path / ".config/sandbox-runner/config.toml"
    assert user_file({"HOME": str(tmp_path), "XDG_CONFIG_HOME": "relative"}) == user_file(
        {"HOME": str(tmp_path)}
    )
    assert user_file({}) is None
    path = user_file(environ)
    path.parent.mkdir(parents=True)
    path.write_text("cpus = 2")
    assert load_config(environ=environ).sources["cpus"] == f"file {path}"


def test_an_empty_text_means_none_for_what_can_be_none_or_is_a_list():
    config = load_config(environ={}, flags={"cpu_time": "", "docker_host": "", "images": ""}).config
    assert (config.cpu_time, config.docker_host, config.images) == (None, None, ())


def test_a_config_made_in_python_is_checked_too_and_frozen():
    for wrong in ({"wall_time": 700}, {"memroy": 1}, {"profile": "lax"}, {"pids": True}):
        with pytest.raises((ConfigError, TypeError)):
            Config(**wrong)
    with pytest.raises(FrozenInstanceError):
        Config().cpus = 2
    assert issubclass(ConfigError, SandboxError)


@given(st.integers(min_value=0, max_value=1 << 53))
def test_a_size_is_shown_as_it_can_be_written(size):
    assert parse_size(format_size(size)) == size
