import numpy as np
import pandas as pd
long = pd.DataFrame({"n": range(500), "square": [n * n for n in range(500)]})
long
# %%
long.head()
# %%
long["square"]
# %%
wide = pd.DataFrame(np.arange(60).reshape(2, 30), columns=[f"column_{n}" for n in range(30)])
wide.shape
# %%
long.info()
