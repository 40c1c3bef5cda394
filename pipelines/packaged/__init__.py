"""Photographs that installed libraries carry in their wheels, in the form of the real sources: the demo's data.

`photographs` says which and under what licence; `mulan_tree` writes a small tree in MuLAn's byte format from
them, `backgrounds` a folder of pictures with attribution. Nothing downstream knows that they are stand-ins.
"""
