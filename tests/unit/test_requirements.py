"""What may be said of a package, and the many things that may not."""

import pytest

from sandbox_runner.errors import InvalidRequest, NotPermitted
from sandbox_runner.requirements import check_permitted, matches, parse_requirements

NOT_PIP = (
    "", "-r requirements.txt", "--index-url=http://evil.example", "-e .", ".", "./evil", "/tmp/evil",
    "evil.whl/",
    "evil @ https://evil.example/evil.whl", "evil@https://evil.example", "git+https://evil.example/evil",
    "https://evil.example/evil.whl", "file:///tmp/evil", "evil; python_version > '3'",
    "evil --hash=sha256:00", "evil ; ",
    "evil\n--pre", "evil #egg", "evil\\", "evil$(id)", "evil`id`", "\u0435vil", "evil[a", "evil==", "a" * 201,
)  # fmt: skip
NOT_NPM = (
    "", "-g", "--registry=http://evil.example", ".", "..", "./evil", "../evil", "/tmp/evil", "~/evil",
    "evil/evil", "evil@.", "evil@..", "evil@./x", "evil@file:x", "evil@link:x", "evil@git+ssh://x",
    "evil@github:a/b", "evil@a/b", "evil@http://evil.example/x.tgz", "evil@x.tgz", "evil@1.0.0-x.tgz",
    "evil@npm:other@1", "evil@workspace:*", "evil@1 --force", "@scope", "@/x", "@scope/", "@a/b/c", "evil@",
    "evil@@1", "EVIL", ".evil", "_evil", "evil@1\n2", "evil@$(id)", "node_modules/../x", "a" * 201,
)  # fmt: skip


def parsed(installer, *texts):
    return [str(each) for each in parse_requirements(texts, installer=installer)]


@pytest.mark.parametrize("text", NOT_PIP)
def test_pip_is_asked_for_names_and_versions_only(text):
    with pytest.raises(InvalidRequest, match="package"):
        parsed("pip", text)


@pytest.mark.parametrize("text", NOT_NPM)
def test_npm_is_asked_for_names_and_versions_only(text):
    with pytest.raises(InvalidRequest, match="package"):
        parsed("npm", text)


def test_a_package_is_written_in_one_way_whatever_the_caller_wrote():
    assert parsed("pip", " Foo__Bar.baz [B_c, a]>=1, <2 ") == ["foo-bar-baz[a,b-c]<2,>=1"]
    assert parsed("pip", "zebra", "Apple==1.*", "apple==1.*") == ["apple==1.*", "zebra"]
    assert parsed("npm", "lodash", "@acme/x@^1.2||2", "left-pad@1 - 2") == [
        "@acme/x@^1.2 || 2", "left-pad@1 - 2", "lodash@latest",
    ]  # fmt: skip


def test_a_package_is_named_once_and_not_too_many_are():
    with pytest.raises(InvalidRequest, match="named twice"):
        parsed("pip", "numpy", "NumPy>2")
    with pytest.raises(InvalidRequest, match="At most 64"):
        parsed("pip", *(f"p{number}" for number in range(65)))
    with pytest.raises(InvalidRequest, match="list"):
        parse_requirements("numpy", installer="pip")


@pytest.mark.parametrize("spelling", ["evil_pkg", "Evil.Pkg", "EVIL--PKG", "evil-pkg[extra]", "evil__pkg==1"])
@pytest.mark.parametrize("pattern", ["pip:evil-pkg", "pip:Evil_Pkg", "pip:evil.*", "pip:*"])
def test_a_refused_package_is_refused_in_every_spelling(spelling, pattern):
    requirements = parse_requirements([spelling], installer="pip")
    with pytest.raises(NotPermitted, match="refused"):
        check_permitted(requirements, installer="pip", allowed=("pip:*",), refused=(pattern,))


def test_what_one_installer_may_have_the_other_may_not():
    assert matches("requests", ["pip:requests"], installer="pip")
    assert not matches("requests", ["pip:requests"], installer="npm")
    with pytest.raises(NotPermitted, match=r"'requests' is not allowed here; allowed: npm:lodash\."):
        check_permitted(
            parse_requirements(["requests"], installer="npm"),
            installer="npm", allowed=("pip:*", "npm:lodash"), refused=(),
        )  # fmt: skip
