"""A whole task over MCP, with calls as a model makes them: each follows from what the last answer said."""

import base64
import json
import re

import pytest
from mcp_clients import sdk_client

pytestmark = pytest.mark.timeout(180)

SALES = "month,region,amount\n" + "".join(
    f"2026-{month:02},{region},{amount + 10 * month}\n"
    for month in range(1, 13)
    for region, amount in (("north", 100), ("south", 250))
)
SUMS = {"north": 12 * 100 + 10 * 78, "south": 12 * 250 + 10 * 78}
FILES = [{"path": "sales.csv", "content": SALES}]


@pytest.fixture(scope="module", params=["text", "structured"])
def model(request):
    """Calls a tool and sees what a client shows: the text alone, or the structured content alone."""
    with sdk_client() as client:

        def call(tool, **arguments):
            answer = client.call(tool, **arguments)
            images = [block for block in answer.content if block.type == "image"]
            if request.param == "text":
                return answer.content[0].text, images
            return json.dumps(answer.structured_content, ensure_ascii=False), images

        yield call


def test_a_model_analyses_data_and_sees_its_plot(model):
    seen, _ = model("list_languages")
    assert "pandas" in seen
    assert "matplotlib" in seen

    # A first look, which fails: the name is not the file's. The answer says which file there is.
    look = "import pandas as pd\nprint(pd.read_csv('data.csv').head(3))"
    seen, _ = model("run_code", language="python", code=look, files=FILES)
    name = re.search(r"passed in files were ([\w.]+)", seen)[1]
    look = look.replace("data.csv", name)
    seen, _ = model("run_code", language="python", code=look, files=FILES)
    assert "2026-01" in seen
    assert "region" in seen

    # The figures, as JSON, checked by another language's own words.
    code = (
        "import io\nimport pandas as pd\n"
        "def execute(input):\n"
        "    table = pd.read_csv(io.StringIO(input['csv']))\n"
        "    return {k: int(v) for k, v in table.groupby('region')[input['column']].sum().items()}"
    )
    seen, _ = model("run_function", code=code, input={"csv": SALES, "column": "amount"})
    assert all(re.search(rf'"{region}": {amount}\b', seen) for region, amount in SUMS.items())
    awk = "awk -F, 'NR > 1 { sum[$2] += $3 } END { for (r in sum) print r, sum[r] }' sales.csv | sort"
    seen, _ = model("run_shell", command=awk, files=FILES)
    assert all(f"{region} {amount}" in seen for region, amount in SUMS.items())

    # The plot, from a longer run in the background, whose end read_output tells.
    plot = (
        "import pandas as pd, matplotlib.pyplot as plt\n"
        "table = pd.read_csv('sales.csv').pivot(index='month', columns='region', values='amount')\n"
        "table.plot(title='Sales')\n"
        "print('plotted', len(table), flush=True)"
    )
    seen, _ = model("run_code", language="python", code=plot, files=FILES, background=True)
    run_id = re.search(r"run_id='?([0-9a-f]{32})", seen)[1]
    images, printed = [], ""
    while not images:
        seen, images = model("read_output", run_id=run_id, wait_s=50)
        printed += seen
    assert "plotted 12" in printed
    assert "figure-1.png" in seen
    [image] = images
    assert image.mime_type == "image/png"
    assert size_of(base64.b64decode(image.data)) > (300, 200)


def size_of(png):
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    header = png[16:24]
    return int.from_bytes(header[:4], "big"), int.from_bytes(header[4:], "big")
