from datetime import date, datetime, timedelta, timezone
date(2024, 2, 29) + timedelta(days=365)
# %%
datetime(2024, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
# %%
timedelta(hours=30, seconds=5)
# %%
date(2023, 2, 29)
# %%
datetime.strptime("2024-03-01", "%Y-%m-%d").strftime("%A")
# %%
[date(2024, 1, d) for d in range(1, 5)]
