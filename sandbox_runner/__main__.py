"""`python -m sandbox_runner` is `sandbox-runner`."""

from sandbox_runner.cli import entry

if __name__ == "__main__":
    entry()
