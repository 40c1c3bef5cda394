"""The demo's data: photographs and rendered objects, written in the form of the real sources.

`photographs` lists photographs with their licences and writes a folder of backgrounds with attributions; `mulan_tree`
writes a small tree in MuLAn's byte format; `cutouts` lists the rendered objects; `held_out` says which of all are for
testing. Later stages read them like the real sources.
"""
