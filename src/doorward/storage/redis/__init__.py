"""Redis or Valkey: sessions and counters on one node or a Cluster."""
