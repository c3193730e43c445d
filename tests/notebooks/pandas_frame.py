import pandas as pd
df = pd.DataFrame({"city": ["Oslo", "Rome", "Lima"], "people": [709_000, 2_800_000, 10_750_000]})
df
# %%
df.describe()
# %%
df["people"]
# %%
df.dtypes
# %%
df.set_index("city").loc["Rome"]
# %%
df.loc["nowhere"]
