import csv
import io
import json
json.loads('{"a": [1, 2.5, null, true]}')
# %%
print(json.dumps({"b": 1, "a": [1, 2]}, indent=2, sort_keys=True))
# %%
list(csv.DictReader(io.StringIO("a,b\n1,2\n3,4\n")))
# %%
json.loads("{bad}")
# %%
writer = csv.writer(out := io.StringIO())
writer.writerow(["x", 'say "hi"'])
out.getvalue()
