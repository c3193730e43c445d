"""The languages that the tests run: the common ones, or those of SANDBOX_RUNNER_TEST_LANGUAGES (or `all`).

`tests/run` has setup make them ready.
"""

import os

from sandbox_runner.hardening import COMMAND_IMAGE
from sandbox_runner.languages import images_of, load_languages

NAMES = os.environ.get("SANDBOX_RUNNER_TEST_LANGUAGES", "python,javascript,typescript,bash,c,c++,go").split(
    ","
)
RUNNABLE = sorted(images_of(NAMES) | {COMMAND_IMAGE})  # their images
IMAGES = ["base", *RUNNABLE]
LANGUAGES = [language for language in load_languages() if language.image in RUNNABLE]
