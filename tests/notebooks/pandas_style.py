import pandas as pd
df = pd.DataFrame({"kind": pd.Categorical(["a", "b", "a"]), "x": [0.1, 0.25, 1e-9]})
df["kind"].value_counts()
# %%
df["kind"].cat.categories
# %%
df.T
# %%
df.to_html(index=False)
# %%
pd.Series([], dtype=float)
# %%
pd.DataFrame()
