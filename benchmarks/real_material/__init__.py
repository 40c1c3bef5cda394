"""Third-party pictures in the forms in which the paper's sources come, to try the data stages on at full size.

A folder of photographs and cutouts that are not part of this package (docs/data.md says where its pictures came from)
stands in for three downloads: photographic cutouts on photographs, written in MuLAn's byte format; rendered objects in
the place of LayerDiffuse's pictures; photographs as backgrounds, with what SegFormer and Depth-Anything would say of
them drawn by hand (`labels.json`).
"""
