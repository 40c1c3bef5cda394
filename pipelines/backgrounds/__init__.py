"""Photographs to put objects in front of."""
