import numpy as np
import pandas as pd
df = pd.DataFrame({"a": [1, None, 3], "b": ["x", None, "z"]})
df.isna()
# %%
df.fillna({"a": 0, "b": "?"})
# %%
df.dropna()
# %%
df["a"].mean()
# %%
df["c"]
