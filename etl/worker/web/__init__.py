"""
What a worker serves at `worker.listen`: metrics, health and the status page. It reads the warehouse, and changes nothing.

Whatever lies in the warehouse is read from it, so every worker shows the same.
"""
