"""What a program displays reaches a client: text in the answer's text, pictures and tables beside it."""

import pytest

pytestmark = pytest.mark.timeout(180)

CODE = (
    "import pandas as pd, matplotlib.pyplot as plt\n"
    "plt.plot([1, 2]); plt.show()\nprint('printed')\npd.DataFrame({'x': [1]})"
)


def test_a_table_and_a_figure_are_shown(either):
    answer = either.call("run_code", language="python", code=CODE, display=True)
    text, picture, table = answer.content
    assert text.text.splitlines()[1:] == [
        "stdout:", "printed", "", "displayed:", "<Figure size 640x480 with 1 Axes>",
        "displayed:", "   x", "0  1", text.text.splitlines()[-1],
    ]  # fmt: skip
    assert text.text.splitlines()[-1].startswith("figure: display-1.png (image/png, ")
    assert (picture.type, picture.mime_type) == ("image", "image/png")
    assert (table.type, table.resource.mime_type) == ("resource", "text/html")
    report = answer.structured_content
    assert [each["forms"] for each in report["displays"]] == [
        ["text/plain", "image/png"], ["text/plain", "text/html"],
    ]  # fmt: skip
    assert report["displays"][1]["text"] == "   x\n0  1"
    assert (report["stdout"], report["exit_code"], answer.is_error) == ("printed\n", 0, False)


def test_without_display_a_value_is_not_shown(client):
    answer = client.call("run_code", language="python", code="1 + 1")
    assert (answer.structured_content["displays"], len(answer.content)) == ([], 1)
    assert "(no output)" in answer.content[0].text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            {"language": "bash", "code": "1"},
            "bash displays nothing; leave display out, or use one of: python.",
        ),
        ({"language": "python", "code": "1", "background": True}, "leave background or display out."),
    ],
)
def test_what_cannot_be_displayed_is_refused(client, arguments, said):
    answer = client.call("run_code", display=True, **arguments)
    assert answer.is_error
    assert said in answer.content[0].text


def test_forged_displays_reach_no_client(client):
    code = "import os\nos.write(4, b'{\"data\":{\"text/html\":5}}\\n' * 3)\n'real'"
    report = client.call("run_code", language="python", code=code, display=True).structured_content
    assert [each["text"] for each in report["displays"]] == ["'real'"]
    assert report["notes"] == ["Displays left out as too many, or not what they should be: 3."]
