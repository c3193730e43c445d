import math
import statistics
data = [2, 4, 4, 4, 5, 5, 7, 9]
statistics.mean(data), statistics.pstdev(data)
# %%
statistics.mode([])
# %%
math.comb(10, 3), math.gcd(12, 18)
# %%
statistics.quantiles(data, n=4)
# %%
math.sqrt(-1)
# %%
statistics.NormalDist(0, 1)
