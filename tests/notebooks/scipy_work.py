import numpy as np
from scipy import optimize, stats, linalg
round(optimize.brentq(lambda x: x**2 - 2, 0, 2), 9)
# %%
stats.linregress([1, 2, 3], [2, 4, 6]).slope
# %%
linalg.lu(np.array([[1.0, 2.0], [3.0, 4.0]]))
# %%
optimize.brentq(lambda x: x**2 + 1, 0, 2)
# %%
round(float(stats.norm.cdf(1.96)), 4)
