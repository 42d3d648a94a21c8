"""
Alerts: somebody is told when a connection needs a human, once, and once when it does no more.

`changes` decides, as pure functions, what is to be told; `words` says it; `watch` looks, remembers and tells. It knows neither
HTTP nor SQL: `etl.http.hook` and `etl.warehouse.alerts` do.
"""
