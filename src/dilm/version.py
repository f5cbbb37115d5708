"""The version of the code: part of every stage key and of every provenance."""

VERSION = "0.1.0"
