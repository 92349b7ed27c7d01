"""Metadata of photos, read and written without touching their pixels."""
