import numpy as np
np.arange(12).reshape(3, 4)
# %%
np.linspace(0, 1, 5)
# %%
np.zeros((2, 2), dtype=int), np.eye(2)
# %%
np.arange(2000)
# %%
np.array([1.5, np.nan, np.inf])
# %%
np.arange(3) + np.arange(4)
