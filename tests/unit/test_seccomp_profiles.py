"""Loading seccomp profiles fails closed, and the two shipped files are in good order.

What they refuse is tested by making the calls, in tests/integration/test_seccomp.py.
"""

import json
from collections import Counter, defaultdict

import pytest

from sandbox_runner.assets import asset_folder
from sandbox_runner.errors import ControlNotEnforced, NotPermitted
from sandbox_runner.seccomp import SHIPPED, load_profile, profile_names

ALLOW, ERRNO = "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"
SOUND = {
    "defaultAction": ERRNO,
    "defaultErrnoRet": 1,
    "archMap": [{"architecture": "SCMP_ARCH_X86_64"}],
    "syscalls": [{"comment": "why", "names": ["read"], "action": ALLOW}],
}
FILES = {name: json.loads((asset_folder("seccomp") / f"{name}.json").read_text()) for name in SHIPPED}


def write(folder, content, name="default"):
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / f"{name}.json").write_text(text)


def test_the_shipped_profiles_are_found_and_are_all_there_is():
    assert profile_names() == ("default", "strict") == SHIPPED


def test_a_profile_is_compact_json_without_its_comments(tmp_path):
    write(tmp_path, SOUND)
    text = load_profile("default", folder=tmp_path)
    assert json.loads(text) == SOUND | {"syscalls": [{"names": ["read"], "action": ALLOW}]}
    assert " " not in text


@pytest.mark.parametrize("name", SHIPPED)
def test_the_shipped_profiles_load_whole(name):
    loaded = json.loads(load_profile(name))
    rules = [{key: group[key] for key in group if key != "comment"} for group in FILES[name]["syscalls"]]
    assert loaded == FILES[name] | {"syscalls": rules}


@pytest.mark.parametrize(
    "name", ["unconfined", "", "Default", "../seccomp/default", "default.json", "/etc/passwd", "a\0b"]
)
def test_a_name_that_is_no_profile_is_refused_with_the_names_that_are(name):
    with pytest.raises(NotPermitted, match="choose one of default, strict"):
        load_profile(name)


def test_an_operators_own_profile_is_found_by_its_name(tmp_path):
    write(tmp_path, SOUND, name="ours")
    assert profile_names(folder=tmp_path) == ("ours",)
    assert json.loads(load_profile("ours", folder=tmp_path))["defaultAction"] == ERRNO


def test_a_shipped_profile_that_is_missing_stops_the_run(tmp_path):
    with pytest.raises(ControlNotEnforced, match="nothing was run"):
        load_profile("default", folder=tmp_path)


def test_a_profile_that_cannot_be_read_stops_the_run(tmp_path):
    (tmp_path / "default.json").mkdir()
    with pytest.raises(ControlNotEnforced, match="cannot be read"):
        load_profile("default", folder=tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "\x00",
        "[]",
        "null",
        '"unconfined"',
        "{}",
        SOUND | {"defaultAction": ALLOW},
        SOUND | {"defaultAction": "SCMP_ACT_LOG"},
        SOUND | {"defaultAction": "SCMP_ACT_TRACE"},
        SOUND | {"defaultAction": ""},
        SOUND | {"defaultAction": [ERRNO]},
        {key: SOUND[key] for key in SOUND if key != "defaultAction"},
        SOUND | {"DefaultAction": ALLOW},
        SOUND | {"defaultErrnoRet": 0},
        SOUND | {"defaultErrnoRet": None},
        SOUND | {"archMap": []},
        SOUND | {"archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}]},
        {key: SOUND[key] for key in SOUND if key != "archMap"},
        SOUND | {"architectures": ["SCMP_ARCH_X86"]},
        SOUND | {"syscalls": []},
        SOUND | {"syscalls": ["read"]},
        SOUND | {"syscalls": [{"names": ["read"]}]},
        SOUND | {"syscalls": [{"names": ["read"], "action": ERRNO, "Action": ALLOW}]},
        {key: SOUND[key] for key in SOUND if key != "syscalls"},
    ],
    ids=repr,
)
def test_a_profile_that_would_weaken_or_disable_the_filter_stops_the_run(tmp_path, content):
    write(tmp_path, content)
    with pytest.raises(ControlNotEnforced, match="nothing was run"):
        load_profile("default", folder=tmp_path)


each_file = pytest.mark.parametrize("profile", FILES.values(), ids=FILES)


@each_file
def test_what_is_not_named_is_refused_with_eperm_on_the_native_architectures_only(profile):
    assert (profile["defaultAction"], profile["defaultErrnoRet"]) == (ERRNO, 1)
    assert profile["archMap"] == [{"architecture": "SCMP_ARCH_X86_64"}, {"architecture": "SCMP_ARCH_AARCH64"}]


@each_file
def test_each_group_says_why_and_lists_its_names_in_order(profile):
    for group in profile["syscalls"]:
        assert group["comment"].endswith(".")
        assert group["names"] == sorted(set(group["names"]))
        assert group["action"] in (ALLOW, ERRNO)
        assert ("errnoRet" in group) == (group["action"] == ERRNO)
    comments = Counter(group["comment"] for group in profile["syscalls"])
    assert set(comments.values()) == {1}


@each_file
def test_no_name_is_in_two_groups_that_contradict_each_other(profile):
    groups = defaultdict(list)
    for group in profile["syscalls"]:
        for name in group["names"]:
            groups[name].append(group)
    for name, found in groups.items():
        conditions = [group.get("args") for group in found]
        assert len(found) == 1 or all(conditions), f"{name} is in a group without conditions and in another"
        unlike = [c for i, c in enumerate(conditions) if c in conditions[:i]]
        assert not unlike, f"{name} is twice under the same conditions"


@each_file
def test_conditions_are_such_that_every_runtime_reads_them_alike(profile):
    for group in profile["syscalls"]:
        conditions = group.get("args", [])
        indexes = [condition["index"] for condition in conditions]
        # crun takes the first six and drops the rest, silently.
        assert len(conditions) <= 6, group["comment"]
        # On one argument conditions are alternatives, on several all must hold; never mixed.
        assert len(set(indexes)) in (1, len(indexes)) or not indexes, group["comment"]
        for condition in conditions:
            assert 0 <= condition["value"] < 1 << 32
            if condition["op"] == "SCMP_CMP_MASKED_EQ":
                assert condition["valueTwo"] & ~condition["value"] == 0, "could never match"


@each_file
def test_an_explicit_refusal_has_another_errno_than_the_default(profile):
    # A rule that equals the default may be dropped, and with it what it was to override.
    assert profile["defaultErrnoRet"] not in [group.get("errnoRet") for group in profile["syscalls"]]


def test_the_strict_profile_is_the_default_one_but_for_locks():
    def others(name):
        return [g for g in FILES[name]["syscalls"] if not {"fcntl", "flock"} & set(g["names"])]

    assert others("strict") == others("default")
    assert [g["action"] for g in FILES["strict"]["syscalls"] if "flock" in g["names"]] == [ERRNO]
    assert all(g["args"] for g in FILES["strict"]["syscalls"] if "fcntl" in g["names"])
