"""What a request may ask to get back, and what it may hand over."""

import pytest

from sandbox_runner import Config, RunRequest
from sandbox_runner.errors import InvalidRequest
from sandbox_runner.languages import find_language, load_languages
from sandbox_runner.policy import admit, check
from sandbox_runner.request import LOCAL_USER
from sandbox_runner.spec import ArtifactCaps, Image, Placement

POLICY = Config().policy()
PLACEMENT = Placement(run_id="r", instance="i", owner="o", uid=2000, created=0)
OURS, FOREIGN = Image("sha256:0", "python", agent=True), Image("sha256:0", "debian", agent=False)


def asking(language: str = "python", **fields) -> RunRequest:
    return RunRequest(language=language, code="x", **fields)


def job_of(request: RunRequest, image: Image = OURS):
    language = find_language(request.language)
    return admit(POLICY, request, LOCAL_USER, language=language, image=image, placement=PLACEMENT).job


def test_a_value_makes_the_program_a_function():
    assert job_of(asking()).argv == find_language("python").run
    job = job_of(asking(value=b"1", args=["a"], artifacts=["*.png"]))
    assert job.argv == (*find_language("python").function, "a")
    assert (job.value, job.artifacts) == (b"1", ("*.png",))


@pytest.mark.parametrize(
    ("pattern", "artifacts"),
    [
        ("'/a' is not a pattern", ["/a"]),
        ("'../x' is not a pattern", ["../x"]),
        ("'a/../x' is not a pattern", ["a/../x"]),
        (r"'\[ab\]' is not a pattern", ["[ab]"]),
        ("'' is not a pattern", [""]),
        ("is not a pattern", ["a\0"]),
        ("is not a pattern", ["x" * 256]),
        ("UTF-8", ["\ud800"]),
        ("At most 32 patterns", ["x"] * 33),
        ("must be a list", "*.png"),
    ],
)
def test_a_pattern_is_of_plain_paths(pattern, artifacts):
    with pytest.raises(InvalidRequest, match=pattern):
        check(POLICY, asking(artifacts=artifacts), language=find_language("python"))


def test_files_go_back_to_memory_or_to_a_folder_each_within_its_ceilings(tmp_path):
    job = job_of(asking(artifacts=["plots/**"]))
    assert (job.artifacts, job.out, job.artifact_caps) == (
        ("plots/**",),
        None,
        ArtifactCaps(256, 16 << 20, 32 << 20),
    )
    job = job_of(asking(out=tmp_path))
    assert (job.artifacts, job.out, job.artifact_caps) == (
        ("**",),
        tmp_path,
        ArtifactCaps(10_000, 1 << 30, 1 << 30),
    )
    assert job_of(asking(out=tmp_path, artifacts=["*"])).artifacts == ("*",)


@pytest.mark.parametrize("out", ["", "a\0b", 7, __file__])
def test_a_folder_that_cannot_be_one_is_refused_before_a_run(out):
    with pytest.raises(InvalidRequest, match="folder"):
        check(POLICY, asking(out=out), language=find_language("python"))


def test_a_value_too_long_is_refused():
    check(POLICY, asking(value=bytes(1 << 20)), language=find_language("python"))
    with pytest.raises(InvalidRequest, match="1048577 bytes, more than 1048576; send it as a file"):
        check(POLICY, asking(value=bytes((1 << 20) + 1)), language=find_language("python"))


@pytest.mark.parametrize("value", ["1", 1, {"x": 1}])
def test_a_value_is_bytes(value):
    with pytest.raises(InvalidRequest, match="value must be bytes that hold JSON"):
        check(POLICY, asking(value=value), language=find_language("python"))


def test_a_language_without_functions_names_those_that_have_them():
    able = ", ".join(language.name for language in load_languages() if language.function)
    assert "python" in able
    with pytest.raises(InvalidRequest, match=rf"^bash has no functions .* use one of: {able}\.$"):
        check(POLICY, asking("bash", value=b"1"), language=find_language("bash"))


def test_a_command_is_not_called_with_a_value():
    with pytest.raises(InvalidRequest, match="A command cannot be called with a value"):
        check(POLICY, RunRequest(command=["true"], value=b"1"), language=None)


def test_an_image_without_the_agent_takes_no_value_and_gives_nothing_back(tmp_path):
    with pytest.raises(InvalidRequest, match="no function can be called in it; leave the image out"):
        job_of(asking(value=b"1"), FOREIGN)
    for asked in ({"artifacts": ["*"]}, {"out": tmp_path}):
        with pytest.raises(InvalidRequest, match="no file can come back from it; print what you need"):
            job_of(asking(**asked), FOREIGN)


def test_what_only_our_images_hold_is_not_in_the_environment_of_another():
    assert job_of(asking()).env["MPLBACKEND"] == "module://sandbox_runner_figures"
    assert job_of(asking(), FOREIGN).env["MPLBACKEND"] == "agg"
