import pandas as pd
df = pd.DataFrame({"x": [1, 2, 3], "y": [3, 1, 2]})
df.plot(x="x", y="y");
# %%
_ = df.hist()
# %%
df["y"].plot.bar().get_ylim()
# %%
df.corr()
