"""The demo's data: photographs that installed libraries contain, written in the form of the real sources.

`photographs` lists them with their licences and writes a folder of backgrounds with attributions; `mulan_tree` writes
a small tree in MuLAn's byte format. Later stages read both like the real sources.
"""
