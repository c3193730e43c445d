import pandas as pd
days = pd.date_range("2024-02-27", periods=5, freq="D")
days
# %%
series = pd.Series(range(5), index=days, name="visits")
series
# %%
series.rolling(2).mean()
# %%
pd.Timestamp("2024-03-01") - pd.Timestamp("2024-02-28")
# %%
series.resample("2D").sum().to_frame()
# %%
pd.to_datetime("no date")
