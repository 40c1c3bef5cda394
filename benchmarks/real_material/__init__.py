"""Third-party pictures in the forms in which the paper's sources come, to try the data stages on at full size.

A folder of photographs and cutouts that are not part of this package stands in for three downloads: photographic
cutouts on photographs, written in MuLAn's byte format; rendered objects instead of LayerDiffuse's pictures; photographs
as backgrounds, with what SegFormer and Depth-Anything would say of them drawn by hand (`labels.json`). It holds

- `training/photos`: desktop wallpapers of Debian's packages lomiri-wallpapers, mate-backgrounds and
  plasma-workspace-wallpapers, longest side 1600 px (CC-BY, CC-BY-SA, CC0, GPL-2);
- `training/cutouts_photo`: photographic stamps of Tux Paint (GPL-2);
- `training/cutouts_rendered`: Fluent emoji 3D (MIT);
- `cutouts`: example results of rembg (MIT);
- `photos/kodak`, `photos/gb82` (CC0), `photos`: pictures that the stamps are put on.
"""
