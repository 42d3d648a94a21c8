"""
The worker: keeps every connection fresh, on as many machines as run one.

Each worker looks by itself what is due (`due`), puts it into a queue in the warehouse (`queue`) where it is not queued already,
takes from the queue what it can (`service`), and clears away what killed workers left. The queue is Procrastinate's.
"""
