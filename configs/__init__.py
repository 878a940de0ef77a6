"""Kinds, purposes, limits and job examples as YAML; this module only makes them package data."""
