: > other
