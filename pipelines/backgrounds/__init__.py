"""Backgrounds: photographs that objects are placed on."""
