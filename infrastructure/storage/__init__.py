"""Keeps the bytes of uploaded files."""
