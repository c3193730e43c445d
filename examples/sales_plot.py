# A data analysis with a plot: reads sales.csv, writes a table to stderr and a picture to stdout.
#
# Run: sandbox-runner run --file examples/sales.csv examples/sales_plot.py > sales.png
#
# Nothing is shared with this machine: the file is put into the sandbox, and the picture comes back
# as the program's output, byte for byte.
import sys

import matplotlib.pyplot as plt
import pandas as pd

sales = pd.read_csv("sales.csv")
sales["revenue"] = sales["units"] * sales["price"]
table = sales.pivot_table(index="month", columns="product", values="revenue", aggfunc="sum")
print(table, file=sys.stderr)

table.plot.bar(rot=0, figsize=(8, 4.5), title="Revenue by month", ylabel="revenue")
plt.tight_layout()
plt.savefig(sys.stdout.buffer, format="png", dpi=100)
