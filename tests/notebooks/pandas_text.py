import io
import pandas as pd
df = pd.read_csv(io.StringIO("name,score\nAda,10\nGrace,12\nÅsa,9\n"))
df.sort_values("score", ascending=False)
# %%
df["name"].str.upper().tolist()
# %%
print(df.to_string(index=False))
# %%
df.query("score > 9")
# %%
df.columns, df.index
# %%
print(df.to_csv(index=False))
