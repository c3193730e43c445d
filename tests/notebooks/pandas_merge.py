import pandas as pd
left = pd.DataFrame({"key": [1, 2, 3], "left": ["a", "b", "c"]})
right = pd.DataFrame({"key": [2, 3, 4], "right": ["B", "C", "D"]})
left.merge(right, on="key", how="outer", indicator=True)
# %%
pd.concat([left, right], axis=1)
# %%
left.merge(right, on="no such key")
# %%
left.to_dict("records")
