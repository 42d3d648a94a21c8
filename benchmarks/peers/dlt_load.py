"""
Knows how dlt loads the calls; run by the Python of dlt's own environment, with one argument, the settings as JSON.

The settings are what dlt's pages on performance and on the Postgres destination name: pages of the API's largest size, files
for COPY (parquet or csv) instead of INSERT statements; more in `calling.py`.
"""

from __future__ import annotations

import json
import sys

import dlt
from dlt.sources.rest_api import rest_api_source


def main(given: str) -> None:
    """Load everything once."""
    settings = json.loads(given)
    source = rest_api_source(
        {
            "client": {
                "base_url": settings["url"],
                "auth": {"type": "bearer", "token": settings["token"]},
                "paginator": {"type": "header_link"},
            },
            "resources": [
                {
                    "name": "call_usage",
                    "primary_key": "id",
                    "write_disposition": {"disposition": "merge", "strategy": settings["strategy"]},
                    "endpoint": {
                        "path": "api/v2/call_usage",
                        "params": {"since": "2000-01-01T00:00:00Z", "until": "2026-06-01T00:00:00Z", "per_page": 1000},
                        "data_selector": "$",
                    },
                }
            ],
        },
        name="usage",
    )
    pipeline = dlt.pipeline(
        pipeline_name="usage",
        pipelines_dir=settings["folder"],
        destination=dlt.destinations.postgres(settings["credentials"]),
        dataset_name="calls",
    )
    pipeline.run(source, loader_file_format=settings["files"])


if __name__ == "__main__":
    main(sys.argv[1])
