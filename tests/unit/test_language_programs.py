"""Every language that is shipped has programs, a row of results, and a place in the README."""

from pathlib import Path

import pytest
from language_programs import CASES, ENGINES, FOLDER, read_cases, rows

from sandbox_runner.assets import asset_folder
from sandbox_runner.languages import load_languages

ROOT = Path(__file__).parents[2]
LANGUAGES = load_languages(asset_folder("images"))
NAMES = [language.name for language in LANGUAGES]


@pytest.mark.parametrize("name", NAMES)
def test_a_language_has_a_program_for_each_case(name):
    cases = read_cases(name)
    assert tuple(cases) == CASES
    assert cases["files"].files
    assert cases["broken"].says, "a program that is not valid is told why"
    assert cases["error"].says or cases["error"].signal


@pytest.mark.parametrize("language", LANGUAGES, ids=NAMES)
def test_a_language_has_a_row_of_results_in_which_nothing_failed(language):
    row = rows()[language.name]
    assert f"| {language.image} |" in row
    assert row.count(f"| {len(CASES)}/{len(CASES)} ") == len(ENGINES), row


def test_there_are_no_programs_and_no_rows_of_languages_that_are_not_there():
    assert sorted(path.stem for path in FOLDER.iterdir()) == NAMES
    assert sorted(rows()) == NAMES


def test_the_readme_names_every_image_with_its_languages():
    text = (ROOT / "README.md").read_text("utf-8")
    for image in {language.image for language in LANGUAGES}:
        names = ", ".join(language.name for language in LANGUAGES if language.image == image)
        assert f"| `{image}` | {names} |" in text
