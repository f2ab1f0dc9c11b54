"""Sessions and counters in Redis or Valkey, on one node or on a Cluster."""
