"""Towers compared with people: scorers, predictions, agreement, reports."""
