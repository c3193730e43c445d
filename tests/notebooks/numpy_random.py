import numpy as np
rng = np.random.default_rng(7)
rng.integers(0, 100, 10)
# %%
sample = rng.normal(size=1000)
round(sample.mean(), 3), round(sample.std(), 3)
# %%
np.histogram(sample, bins=4)[0]
# %%
np.float64(1) / 3
# %%
np.bool_(True), np.int8(-3), np.str_("text")
