"""Tests of the documentation, and the tools that they use."""
