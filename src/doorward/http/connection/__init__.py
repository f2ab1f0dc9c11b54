"""HTTP/1.1 connections: parser, limits and deadlines, fast path, listeners."""
