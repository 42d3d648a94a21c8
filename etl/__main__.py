"""Makes `python -m etl` the same as `etl`."""

from etl.cli import main

main()
