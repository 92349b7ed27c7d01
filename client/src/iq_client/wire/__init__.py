"""Transport of batches to a server: messages, connections, replicas, retries, spans."""
