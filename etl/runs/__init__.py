"""Runs: how a sync or replay proceeds, one transaction per page, claiming nothing as read before it is proven."""
