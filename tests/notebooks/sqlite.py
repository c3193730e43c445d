import sqlite3
db = sqlite3.connect(":memory:")
db.execute("create table t (id integer primary key, name text)")
db.executemany("insert into t (name) values (?)", [("a",), ("b",)])
db.execute("select * from t").fetchall()
# %%
import pandas as pd
pd.read_sql("select name, id * 10 as ten from t", db)
# %%
db.execute("select * from missing")
# %%
db.execute("select count(*) from t").fetchone()[0]
