"""Readers: one file type each, its bytes become a `Reading`. Nothing here opens a file, a socket or a process."""
