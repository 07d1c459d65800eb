"""Roads as arrays: reading, turns, compression, partition, shortest paths, storage."""
