import numpy as np
people = np.array([("Ada", 36), ("Alan", 41)], dtype=[("name", "U10"), ("age", int)])
people
# %%
people["age"].mean()
# %%
np.datetime64("2024-02-29") + np.timedelta64(1, "D")
# %%
np.ma.masked_array([1, 2, 3], mask=[0, 1, 0])
# %%
people["height"]
