import numpy as np
a = np.array([[2.0, 1.0], [1.0, 3.0]])
np.linalg.solve(a, [3, 5])
# %%
np.linalg.det(a)
# %%
np.round(np.linalg.eigvalsh(a), 6)
# %%
np.linalg.inv(np.zeros((2, 2)))
# %%
{"shape": a.shape, "dtype": a.dtype, "sum": a.sum()}
