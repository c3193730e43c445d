"""What was installed is recorded in files that leave nothing behind once they are forgotten."""

from sandbox_runner.packages import forget_packages, kept, kept_packages
from sandbox_runner.packages.kept import KeptPackages, keep


def record(image: str) -> KeptPackages:
    return KeptPackages(
        engine="oci",
        address=None,
        image=image,
        base="base",
        language="python",
        requirements=("six",),
        installed=(),
        size=1,
    )


def test_the_folder_goes_with_its_last_record(tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "state_folder", lambda: tmp_path)
    first, second = record("one"), record("two")
    keep(first)
    keep(second)
    forget_packages(first)
    assert kept_packages() == [second]
    for _ in range(2):
        forget_packages(second)
    assert (kept_packages(), list(tmp_path.iterdir())) == ([], [])
