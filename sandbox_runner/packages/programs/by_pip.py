"""Runs inside the builder: pip, from the wheel that the image has.

Only wheels, which are unpacked: nothing of a package is executed.
"""

import glob
import json
import subprocess
import sys

FILES, REPORT = "/workspace/files", "/workspace/report.json"


def run(index, requirements, folder, show):
    """Installs; the name, version and address of each package, or None where ``show`` was told why not.

    Modules are compiled for ``folder``, where they will be.
    """
    if not _installed(_command(index, requirements), show):
        return None
    subprocess.run(
        [sys.executable, "-I", "-m", "compileall", "-qq", "--invalidation-mode", "unchecked-hash",
         "-s", FILES, "-p", folder, FILES],
        check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    with open(REPORT, "rb") as file:
        found = json.load(file)["install"]
    return [
        (each["metadata"]["name"], each["metadata"]["version"], each["download_info"]["url"])
        for each in found
    ]


def _command(index, requirements):
    wheel = glob.glob("/usr/share/python-wheels/pip-*.whl")[0]
    return [
        sys.executable, "-I", f"{wheel}/pip", "install", "--isolated", "--no-input", "--no-cache-dir",
        "--disable-pip-version-check", "--retries=1", "--no-compile", "--progress-bar=off",
        "--no-warn-script-location", "--only-binary=:all:", f"--target={FILES}", f"--index-url={index}/", f"--report={REPORT}",
        "--", *requirements,
    ]  # fmt: skip


def _installed(command, show):
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        for line in process.stdout:
            show(line.decode(errors="replace"))
    return process.returncode == 0
